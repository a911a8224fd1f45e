#pragma once

#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "ipc/answer.h"

namespace tandem::ipc {

/// A wake that any thread may call, and that allocates nothing: `wake` runs on a thread of `io` soon after,
/// once for all calls that came before it does.
Wake posted_wake(std::shared_ptr<boost::asio::io_context> io, std::function<void()> wake);

}  // namespace tandem::ipc
