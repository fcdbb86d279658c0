// Passes connections on to another address, both ways at once, and says how many bytes went each way.
//
//   ./proxy [LISTEN] [TARGET]        :8081 and 127.0.0.1:8080 unless given

#include <cove/net/pass_through.hpp>
#include <cove/net/serve.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

namespace {

using namespace std::chrono_literals;

constexpr auto connect_time_max = 10s;

// What is said of a connection when it ends, in whatever way.
struct report {
    explicit report(const cove::address& client) : name(client.to_string()) {}
    report(const report&) = delete;
    report& operator=(const report&) = delete;
    ~report() {
        std::printf("%s: %llu bytes to, %llu bytes fro, %s\n", name.c_str(), static_cast<unsigned long long>(to),
                    static_cast<unsigned long long>(fro), ending.c_str());
        std::fflush(stdout);
    }

    std::string name;
    std::uint64_t to = 0, fro = 0;
    std::string ending = "canceled";
};

// One direction, with its end: who has finished sending may still be answered.
cove::task<> pass(cove::tcp_stream& from, cove::tcp_stream& to, std::uint64_t& passed) {
    co_await cove::pass_through(from, to, passed);
    to.shutdown_write();
}

cove::task<> session(const cove::address& target, cove::tcp_stream client) {
    report told(client.peer_address());
    // Whoever is closed before both have finished is reset: nobody takes a part for the whole.
    client.set_linger(0s);
    try {
        auto server = co_await cove::timeout(connect_time_max, cove::tcp_stream::connect(target));
        server.set_linger(0s);
        cove::task_group both;
        both.spawn(pass(client, server, told.to));
        both.spawn(pass(server, client, told.fro));
        co_await both.join();
        for (cove::tcp_stream* each : {&client, &server}) each->set_linger(-1s);
        told.ending = "finished";
    } catch (const std::system_error& error) {
        told.ending = error.what();
    }
}

cove::task<> proxy(cove::tcp_listener listener, cove::address target) {
    auto begin = [&target](cove::tcp_stream client) { return session(target, std::move(client)); };
    co_await cove::serve(std::move(listener), begin);
}

}  // namespace

int main(int argc, char** argv) try {
    auto listener = cove::tcp_listener::bind(argc > 1 ? argv[1] : ":8081");
    const auto target = cove::address::parse(argc > 2 ? argv[2] : "127.0.0.1:8080");
    std::printf("proxy: listening on %s\n", listener.local_address().to_string().c_str());
    std::fflush(stdout);
    return cove::run(proxy(std::move(listener), target));
} catch (const std::exception& error) {
    std::fprintf(stderr, "proxy: %s\n", error.what());
    return 1;
}
