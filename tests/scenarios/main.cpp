// ./dev sim: runs scenarios in a simulated world.

#include "scenarios.hpp"

#include <cove/net/sim/command.hpp>

int main(int argc, char** argv) {
    const cove::sim::named_scenario all[] = {
        {"echo", "the echo server, and clients that know every byte they must get back", scenarios::echo},
        {"chat", "the chat server, 2 to 200 members, and a model of who must have been told what", scenarios::chat},
    };
    return cove::sim::command_line(argc, argv, all);
}
