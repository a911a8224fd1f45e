#pragma once

#include <random>
#include <string>

#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"
#include "planner/questions.h"

namespace tandem::planner_test {

/// A model to plan: its header, and what the planner makes of it.
struct Subject {
  model::Header header;
  model::Hyperparameters hyper;
  planner::ModelInput input;
};

Subject catalogue_subject(const std::string& name);

/// What is asked of a catalogue model where nothing else is said.
planner::Setting default_setting(const std::string& name);

/// The first seven layers of Gemma 4 12B in QAT q4_0, six sliding and one global, and its head.
Subject seven_layer_subject();

/// A small model of either family: 1 to `most_layers` layers, odd sizes, random types, sometimes an output
/// matrix of its own.
Subject random_subject(std::mt19937& random, std::uint32_t most_layers = 9);

/// The same with matrices and heads of odd sizes, so that some units are for the CPU alone.
Subject random_odd_subject(std::mt19937& random, std::uint32_t most_layers = 9);

/// Random rates, such that neither device is always the better one: round ones, at times the same for both,
/// costs that are often nothing, at times rates for single types.
planner::MachineProfile random_machine(std::mt19937& random);

/// A number from `low` to `high`.
std::uint64_t pick(std::mt19937& random, std::uint64_t low, std::uint64_t high);

/// Any workload the planner accepts, of at most 700 tokens.
planner::Workload random_workload(std::mt19937& random);

/// Every unit on the CPU or on `gpu`, at random.
planner::Placement random_placement(std::mt19937& random, std::size_t layers, planner::Device gpu);

}  // namespace tandem::planner_test
