// Each of some clients connects, has one message echoed and closes, again and again.

#include "load.hpp"

#include <cove/runtime/task_group.hpp>

namespace {

cove::task<> visit(const load_options& options, std::uint64_t first, measured_span& span, histogram& latencies) {
    std::vector<char> answer(options.size_bytes);
    for (std::uint64_t place = first; span.goes_on(); place += 61) {
        const std::string_view message = pattern(place, options.size_bytes);
        const cove::time_point begun = cove::now();
        cove::tcp_stream server = co_await cove::tcp_stream::connect(options.server);
        co_await server.write(message);
        co_await server.read_exactly(answer);
        if (std::string_view(answer.data(), answer.size()) != message) server_failed("the echo differs");
        server.close();
        latencies.add(static_cast<std::uint64_t>((cove::now() - begun).count()));
        span.count();
    }
}

}  // namespace

cove::task<> churn(const load_options& options, report& into) {
    measured_span span(options);
    histogram latencies;
    cove::task_group visitors;
    for (std::size_t i = 0; i < options.connections; ++i) visitors.spawn(visit(options, i * 7919, span, latencies));
    co_await visitors.join();
    span.end(into, "connections_per_s", "cpu_us_per_connection");
    into.add(latencies);
}
