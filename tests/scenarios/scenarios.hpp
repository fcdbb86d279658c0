// The scenarios that ./dev sim runs, one to a file.

#pragma once

#include <cove/net/sim/plan.hpp>

namespace scenarios {

// Throw what they find wrong.
void echo(const cove::sim::plan& which);
void chat(const cove::sim::plan& which);

}  // namespace scenarios
