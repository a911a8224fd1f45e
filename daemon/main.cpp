// tandemd: reads a model's header, plans, takes memory as planned, and serves until it is told to stop.

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <malloc.h>
#include <memory>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <string>
#include <system_error>
#include <vector>

#include <spdlog/spdlog.h>

#include "backends/cpu/affinity.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/repacked.h"
#include "daemon/config.h"
#include "daemon/descriptors.h"
#include "daemon/device_survey.h"
#include "daemon/engine/engine.h"
#include "daemon/engine/plan_executor.h"
#include "daemon/log.h"
#include "daemon/machine_choice.h"
#include "daemon/model_card.h"
#include "daemon/options.h"
#include "daemon/service.h"
#include "daemon/service_manager.h"
#include "daemon/signals.h"
#include "daemon/start.h"
#include "ipc/server.h"
#include "ipc/standard_streams.h"
#include "memory/bind.h"
#include "model/chat_template.h"
#include "model/gguf.h"
#include "planner/errors.h"
#include "planner/plan_json.h"
#include "planner/printable.h"
#include "planner/size_text.h"

namespace tandem::daemon {

namespace {

enum ExitCode { kDone = 0, kUsage = 1, kDoesNotFit = 2, kBadModel = 3, kFailed = 4 };

/// Whether, and how often, the daemon was told to end.  Until it listens there is nothing to finish or to
/// clear away, and what it does may take long, as a plan that is searched for, or a machine that is measured:
/// it then ends where it stands.
class StopRequest {
 public:
  void set(int count) {
    {
      const std::lock_guard lock(mutex_);
      if (!listens_) end_now();
      count_ = count;
    }
    changed_.notify_all();
  }
  /// From now on the daemon asks, and ends by itself.
  void begin_to_listen() {
    const std::lock_guard lock(mutex_);
    listens_ = true;
  }
  [[nodiscard]] bool asked() const {
    const std::lock_guard lock(mutex_);
    return count_ > 0;
  }
  void wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ > 0; });
  }
  /// Waits at most `limit`; true if asked a second time.
  bool wait_again(std::chrono::milliseconds limit) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return count_ > 1; });
  }

 private:
  [[noreturn]] static void end_now() {
    spdlog::info("stopped before it listened");
    std::_Exit(kDone);
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool listens_ = false;
  int count_ = 0;
};

/// Thrown where loading is given up because a signal came.
struct Interrupted {};

/// What a request took of large pieces, its body and its tokens, goes back to the system with it.  Else glibc
/// learns from the first such piece to keep them all.
void give_back_large_memory() {
  constexpr int kLargeBytes = 1 << 18;
  ::mallopt(M_MMAP_THRESHOLD, kLargeBytes);
}

/// A team's member computes attention with tiles on its stack, half a MiB and more of them.  Threads get as
/// much as `ulimit -s` says, which may be less.
void give_threads_their_stack() {
  constexpr std::size_t kLeastBytes = std::size_t{8} << 20;
  pthread_attr_t attributes;
  if (::pthread_getattr_default_np(&attributes) != 0) return;
  std::size_t bytes = 0;
  ::pthread_attr_getstacksize(&attributes, &bytes);
  if (bytes < kLeastBytes && ::pthread_attr_setstacksize(&attributes, kLeastBytes) == 0) {
    ::pthread_setattr_default_np(&attributes);
  }
  ::pthread_attr_destroy(&attributes);
}

void log_access(const ipc::AccessRecord& record) {
  spdlog::debug("{} {} {} {} {} {} us", record.request_id, record.method, record.path, record.status,
                record.account, record.duration_us);
}

ipc::TcpOptions tcp_options(const ListenConfig& listen) {
  ipc::TcpOptions options{*listen.address, {}, listen.hosts, listen.origins};
  if (listen.api_key_file) options.keys = ipc::ApiKeys::read(listen.api_key_file->string());
  return options;
}

ipc::ServerOptions server_options(const Config& config) {
  ipc::ServerOptions options;
  options.socket.path = config.socket.path ? config.socket.path->string() : ipc::default_socket_path();
  options.socket.mode = config.socket.mode;
  options.socket.group = config.socket.group;
  options.proxy_uids.assign(config.socket.proxy_uids.begin(), config.socket.proxy_uids.end());
  if (config.listen.address) options.tcp = tcp_options(config.listen);
  options.limits = config.limits;
  options.access_log = log_access;
  return options;
}

/// What the driver says of the arenas and of recorded steps.  Its count is of all processes, so others may
/// disturb it.
std::optional<memory::VramUse> measured_vram(const memory::BoundPlan& bound) {
  if (bound.accelerator() == nullptr) return std::nullopt;
  const auto use = bound.vram_use();
  spdlog::log(use.agree() ? spdlog::level::info : spdlog::level::warn,
              "VRAM: {} bytes in {} arenas; free memory shrank by {}", planner::grouped(use.allocated_bytes),
              use.allocations, planner::grouped(use.taken_bytes));
  return use;
}

/// Has `load` done where the team of `threads` will read: on its cores, with memory of all its nodes.
void load_for_team(unsigned threads, const std::function<void()>& load) {
  // On a thread of its own, so that nothing else is bound.
  std::async(std::launch::async, [&] {
    const cpu::Cores cores;
    cores.keep_this_thread_with_team(threads);
    if (cores.spread_memory_over_team(threads)) {
      spdlog::info("loading: memory is spread over {} NUMA nodes", cores.nodes_of_team(threads).size());
    }
    load();
  }).get();
}

/// More threads than cores are slower, and easily asked for: not every hardware thread is a core.
void warn_of_many_threads(unsigned threads) {
  const auto cores = cpu::Cores().count();
  if (threads <= cores) return;
  spdlog::warn(
      "threads: {} are asked for, and there are {} cores for this process: they share them, slower than {}",
      threads, cores, cores);
}

/// A team that was kept to one socket by what was measured.
void say_sockets(unsigned threads) {
  const cpu::Cores cores;
  if (threads < cores.count() && threads == cores.of_first_socket()) {
    spdlog::info("threads: {} of {} cores, those of one socket (--threads uses more)", threads,
                 cores.count());
  }
}

/// Reads the weights in with as many threads as compute later, telling clients and the log how far it is.
const memory::BoundPlan& read_in(memory::BoundPlan& bound, const Config& config, DaemonService& service,
                                 const StopRequest& stop) {
  const auto threads = config.threads;
  const auto start = std::chrono::steady_clock::now();
  int tenths_said = 0;
  const auto report = [&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
    if (stop.asked()) throw Interrupted{};
    const double share =
        total_bytes == 0 ? 1.0 : static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
    service.set_load_progress(share);
    if (const int tenths = static_cast<int>(share * 10); tenths > tenths_said) {
      tenths_said = tenths;
      spdlog::info("loading: {}%", tenths * 10);
      tell_service_manager("STATUS=loading: " + std::to_string(tenths * 10) + "%");
    }
  };
  load_for_team(threads, [&] { bound.load(report, threads); });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  spdlog::info("loaded {} bytes in {:.2f} s, {} of them repacked for the CPU",
               planner::grouped(bound.plan().model.tensor_bytes), took.count(),
               planner::grouped(bound.repacked_bytes()));
  return bound;
}

/// The model in memory, and what computes and schedules with it.
class Running {
 public:
  Running(Start start, model::Header header, model::Hyperparameters hyper, const model::Tokenizer& tokenizer,
          const Config& config, DaemonService& service, const StopRequest& stop)
      : accelerator_(std::move(start.accelerator)),
        bound_(std::move(start.plan), std::move(header), std::move(hyper), accelerator_.get(),
               &cpu::best_repacker()),
        executor_(read_in(bound_, config, service, stop), {.threads = config.threads}),
        vram_(measured_vram(bound_)),
        engine_(executor_, tokenizer, engine::limits_of(bound_.plan(), config.queued_requests)) {}

  [[nodiscard]] engine::Engine& engine() noexcept { return engine_; }
  [[nodiscard]] std::vector<memory::LedgerLine> ledger() const { return executor_.ledger(); }
  [[nodiscard]] const std::optional<memory::VramUse>& vram() const noexcept { return vram_; }

 private:
  std::unique_ptr<device::Accelerator> accelerator_;  ///< null in plans of the CPU alone
  memory::BoundPlan bound_;
  engine::PlanExecutor executor_;
  std::optional<memory::VramUse> vram_;  ///< none in plans of the CPU alone
  engine::Engine engine_;
};

/// What was in use of every arena at some time.
void log_high_water(const std::vector<memory::LedgerLine>& ledger) {
  for (const auto& line : ledger) {
    spdlog::info("{} {}: {} of {} bytes in use at most", planner::to_string(line.device),
                 planner::to_string(line.purpose), planner::grouped(line.high_water_bytes),
                 planner::grouped(line.planned_bytes));
  }
}

/// Requests that run may finish within the grace time; a second signal ends them at once.
void shut_down(const Config& config, DaemonService& service, engine::Engine& engine, ipc::Server& server,
               const StopRequest& stop) {
  spdlog::info("stopping: running requests get {} s", config.grace.count());
  tell_service_manager("STOPPING=1\nSTATUS=running requests may finish");
  service.drain();
  const auto deadline = std::chrono::steady_clock::now() + config.grace;
  while (!engine.wait_idle(std::chrono::milliseconds(0)) && std::chrono::steady_clock::now() < deadline) {
    if (stop.wait_again(std::chrono::milliseconds(50))) break;
  }
  engine.shutdown();
  server.drain(std::chrono::seconds(2));
}

void serve(Config config) {
  give_back_large_memory();
  explain_bus_errors();
  StopRequest stop;
  const Signals signals([&stop](int count) { stop.set(count); });

  warn_of_many_threads(config.threads);
  allow_descriptors(config.limits.connections);
  auto header = model::read_header(*config.model);
  auto hyper = model::read_hyperparameters(header);
  for (const auto& warning : hyper.warnings) spdlog::warn("{}", warning);
  const auto listen = server_options(config);
  ipc::Server::check(listen);  // before a machine is measured in vain
  spdlog::info("CPU kernels: {}", cpu::best_kernel_set().name);
  auto [plan, accelerator] = choose_start(config, planner::model_input(header, hyper));
  if (config.threads == 0) {
    config.threads = team_threads(config);
    say_sockets(config.threads);
  }
  const auto tokenizer = model::Tokenizer::from_header(header);
  const auto chat =
      model::detect_chat_format(*tokenizer, header.find_string("tokenizer.chat_template").value_or(""));
  const auto card = model_card(header, plan, hyper, chat);
  for (const auto& warning : card.warnings) spdlog::warn("{}", warning);
  DaemonService service(*tokenizer, {card,
                                     chat,
                                     plan,
                                     model::recommended_sampling(header),
                                     {ipc::call_depth(config.limits), config.grammar_mask_bytes,
                                      config.grammar_bytes, card.context_tok}});
  std::unique_ptr<Running> running;  // before the server: what it serves from goes last
  stop.begin_to_listen();
  ipc::Server server(listen, service);
  spdlog::info("listening on {}", server.path());
  if (!server.tcp_url().empty()) spdlog::info("listening on {}", server.tcp_url());

  running = std::make_unique<Running>(Start{plan, std::move(accelerator)}, std::move(header),
                                      std::move(hyper), *tokenizer, config, service, stop);
  service.attach(
      running->engine(), [&running] { return running->ledger(); }, running->vram());
  spdlog::info("ready");
  tell_service_manager("READY=1\nSTATUS=serving " + planner::printable(card.id));

  stop.wait();
  shut_down(config, service, running->engine(), server, stop);
  log_high_water(running->ledger());
  spdlog::info("stopped");
}

int fail(ExitCode code, const std::string& what, const std::string& hint = {}) {
  say_why_it_ends(what, hint);
  return code;
}

int run(const Options& options) {
  try {
    give_threads_their_stack();
    const auto file = options.config ? read_config_file(*options.config) : nlohmann::json::object();
    const auto config = make_config(file, options.flags);
    if (options.task == Task::measure_memory) {
      print_memory_speed(team_threads(config));
      return kDone;
    }
    if (options.task == Task::list_devices) {
      print_devices(config);
      return kDone;
    }
    if (options.task != Task::serve) {
      print_calibration(config, options.task == Task::calibrate_quickly);
      return kDone;
    }
    if (!config.model) return fail(kUsage, "no model: give --model FILE, or \"model\" in the configuration");
    set_up_log(config.log_level);
    serve(config);
    return kDone;
  } catch (const Interrupted&) {
    spdlog::info("stopped while loading");
    return kDone;
  } catch (const BadConfig& error) {
    return fail(kUsage, error.what(), error.hint());
  } catch (const ipc::BadListen& error) {
    return fail(kUsage, error.what());
  } catch (const planner::BadQuestion& error) {
    return fail(kUsage, error.what(), error.hint());
  } catch (const model::UnreadableFile& error) {
    return fail(kUsage, error.what(), error.hint());
  } catch (const DoesNotFit& error) {
    return fail(kDoesNotFit, error.what(), error.hint());
  } catch (const model::BadModel& error) {
    return fail(kBadModel, error.what(), error.hint());
  } catch (const model::UnsupportedModel& error) {
    return fail(kBadModel, error.what(), error.hint());
  } catch (const Error& error) {
    return fail(kFailed, error.what(), error.hint());
  } catch (const std::system_error& error) {
    const bool is_short = error.code() == std::errc::resource_unavailable_try_again;
    return fail(kFailed, error.what(),
                is_short ? "the system gives no more threads: see ulimit -u, TasksMax" : "");
  } catch (const std::exception& error) {
    return fail(kFailed, error.what());
  }
}

}  // namespace

}  // namespace tandem::daemon

int main(int argc, char** argv) {
  using namespace tandem;
  ipc::occupy_standard_streams();
  const auto options = daemon::read_options(argc, argv);
  const auto* const ended = std::get_if<int>(&options);
  const int code = ended != nullptr ? *ended : daemon::run(std::get<daemon::Options>(options));
  if (ipc::standard_output_is_written() || code != daemon::kDone) return code;
  return daemon::fail(daemon::kFailed, "standard output could not be written to its end");
}
