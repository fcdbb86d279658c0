// Says which TCP ports of a host accept connections, trying many at once, each for a limited time.
//
//   ./port_probe [HOST] [FIRST] [LAST]        127.0.0.1, ports 1 to 1024, unless given

#include <cove/net/tcp.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace {

using namespace std::chrono_literals;

constexpr int open_at_once_max = 100;
constexpr auto time_per_port_max = 500ms;

struct range {
    unsigned next;
    unsigned last;
};

// One of many that take the next port until none is left: as many sockets are open as there are of these.
cove::task<> probe(cove::address host, range& ports, unsigned& found) {
    while (ports.next <= ports.last) {
        const auto target = host.with_port(static_cast<std::uint16_t>(ports.next++));
        const auto connected =
            co_await cove::as_result(cove::timeout(time_per_port_max, cove::tcp_stream::connect(target)));
        if (connected) {
            ++found;
            std::printf("%s is open\n", target.to_string().c_str());
        } else if (connected.error() != std::errc::connection_refused) {
            std::printf("%s: %s\n", target.to_string().c_str(), connected.error().message().c_str());
        }
    }
}

cove::task<int> probe_all(cove::address host, range ports) {
    unsigned found = 0;
    cove::task_group probes;
    for (int i = 0; i < open_at_once_max; ++i) probes.spawn(probe(host, ports, found));
    co_await probes.join();
    std::printf("%u open\n", found);
    co_return found > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
    const char* host = argc > 1 ? argv[1] : "127.0.0.1";
    const range ports{argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1,
                      argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 1024};
    if (ports.next < 1 || ports.last > 65535) throw std::invalid_argument("ports are numbers from 1 to 65535");
    return cove::run(probe_all(cove::address::parse(host + std::string(":1")), ports));
} catch (const std::exception& error) {
    std::fprintf(stderr, "port_probe: %s\n", error.what());
    return 2;
}
