// The echo server on every core that it may use: a loop on each, which accepts for itself.
//
//   ./sharded_echo [ADDRESS]       ADDRESS is :8080 unless given
//   kill -USR1 PID                 says how many sessions each loop has

#include <cove/net/serve_evenly.hpp>
#include <cove/runtime/signals.hpp>

#include <csignal>
#include <cstdio>
#include <exception>

namespace {

cove::task<> echo(cove::tcp_stream peer) {
    while (cove::buffer data = co_await peer.receive()) co_await peer.write(data.view());
}

cove::task<> report(const cove::shard& self, const cove::shard_listeners& listeners) {
    for (cove::signal_set asked{SIGUSR1};;) {
        co_await asked.next();
        for (unsigned i = 0; i < self.count(); ++i)
            std::printf("loop %u: %zu sessions, %llu turns\n", i, listeners.sessions(i),
                        static_cast<unsigned long long>(self.counters(i).turns));
        std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    cove::shard_listeners listeners(argc > 1 ? argv[1] : ":8080");
    std::printf("echo: %u loops, listening on %s\n", listeners.count(), listeners.local_address().to_string().c_str());
    std::fflush(stdout);
    return cove::run_sharded(listeners.count(), [&](cove::shard& self) -> cove::task<> {
        cove::task_group beside;
        if (self.index() == 0) beside.spawn(report(self, listeners));
        co_await cove::serve_evenly(self, listeners, echo);
    });
} catch (const std::exception& error) {
    std::fprintf(stderr, "echo: %s\n", error.what());
    return 1;
}
