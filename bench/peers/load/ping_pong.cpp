// Each connection sends a message, waits for all of it to come back, and sends the next.

#include "../../resident_bytes.hpp"
#include "load.hpp"

#include <cove/runtime/task_group.hpp>

#include <chrono>

namespace {

cove::task<> play(cove::tcp_stream& server, std::size_t size_bytes, std::uint64_t first, measured_span& span,
                  histogram& latencies) {
    std::vector<char> answer(size_bytes);
    for (std::uint64_t place = first; span.goes_on(); place += 61) {
        const std::string_view message = pattern(place, size_bytes);
        const cove::time_point sent = cove::now();
        co_await server.write(message);
        co_await server.read_exactly(answer);
        if (std::string_view(answer.data(), answer.size()) != message) server_failed("the echo differs");
        latencies.add(static_cast<std::uint64_t>((cove::now() - sent).count()));
        span.count();
    }
}

// One message each, so that every connection is accepted before time is taken.
cove::task<> greet(std::vector<cove::tcp_stream>& connections) {
    char answer[1];
    for (cove::tcp_stream& each : connections) {
        co_await each.write("x");
        co_await each.read_exactly(answer);
    }
}

}  // namespace

cove::task<> ping_pong(const load_options& options, report& into) {
    std::vector<cove::tcp_stream> standing = co_await connect_all(options, options.idle);
    std::vector<cove::tcp_stream> active = co_await connect_all(options, options.connections);
    co_await greet(standing);
    co_await greet(active);
    measured_span span(options);
    histogram latencies;
    cove::task_group players;
    for (std::size_t i = 0; i < active.size(); ++i)
        players.spawn(play(active[i], options.size_bytes, i * 7919, span, latencies));
    co_await players.join();
    span.end(into, "messages_per_s", "cpu_us_per_message");
    into.add(latencies);
}

cove::task<> idle(const load_options& options, report& into) {
    const std::string server = std::to_string(options.server_pid);
    const double before = resident_bytes(server);
    std::vector<cove::tcp_stream> standing = co_await connect_all(options, options.connections);
    co_await greet(standing);
    const double each = (resident_bytes(server) - before) / static_cast<double>(options.connections);
    into.add("bytes_per_connection", each);
}
