// Each connection sends without a pause and reads what comes back, both at once.

#include "load.hpp"

#include <cove/runtime/task_group.hpp>

namespace {

constexpr std::size_t block_bytes = 256 * 1024;

cove::task<> send(cove::tcp_stream& server, const measured_span& span, std::uint64_t& sent) {
    while (span.goes_on()) {
        co_await server.write(pattern(sent, block_bytes));
        sent += block_bytes;
    }
    server.shutdown_write();
}

cove::task<> check(cove::tcp_stream& server, measured_span& span, const std::uint64_t& sent) {
    std::vector<char> block(block_bytes);
    std::uint64_t received = 0;
    while (const std::size_t count = co_await server.read(std::span<char>(block))) {
        if (std::string_view(block.data(), count) != pattern(received, count))
            server_failed("the echoed stream differs");
        received += count;
        if (span.goes_on()) span.count(count);
    }
    if (received != sent) server_failed("the echoed stream is too short");
}

}  // namespace

cove::task<> streaming(const load_options& options, report& into) {
    std::vector<cove::tcp_stream> connections = co_await connect_all(options, options.connections);
    std::vector<std::uint64_t> sent(connections.size());
    measured_span span(options);
    cove::task_group streams;
    for (std::size_t i = 0; i < connections.size(); ++i) {
        streams.spawn(send(connections[i], span, sent[i]));
        streams.spawn(check(connections[i], span, sent[i]));
    }
    co_await streams.join();
    span.end(into, "bytes_per_s", "cpu_us_per_byte");
}
