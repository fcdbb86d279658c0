// The command line of a program that runs scenarios: what ./dev sim calls.

#pragma once

#include <cove/net/sim/explore.hpp>

#include <span>
#include <string>

namespace cove::sim {

struct named_scenario {
    std::string name;
    std::string about;  // one line
    scenario run;
};

// Does what the arguments ask for, and returns main's result: 0, if no run failed.
//   (nothing)                lists the scenarios
//   NAME                     runs a thousand seeds, from 1
//   NAME --seeds A..B        runs these
//   NAME --seed N            runs this one; with --trace FILE all that happens is written there, "-" is the terminal
//   NAME --every-call        fails each call of seed 1, or of --seed N, with each error that it may have
//   --jobs N                 on so many threads; one per core unless given
int command_line(int argc, char** argv, std::span<const named_scenario> scenarios);

}  // namespace cove::sim
