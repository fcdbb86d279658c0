// All are members of one chat room; some write lines, as many at a time as the window allows, and everybody reads all. A
// line is a record of fixed size: kind, writer, number, padding. Each member checks that each writer's lines come whole and in
// order, and at the end that everybody has seen the one order.

#include "load.hpp"

#include <cove/runtime/semaphore.hpp>
#include <cove/runtime/task_group.hpp>

#include <algorithm>
#include <cstring>
#include <memory>

namespace {

struct line_head {
    char kind;  // hello, line, end
    unsigned writer;
    std::uint64_t number;
};

class room {
public:
    static constexpr std::size_t remembered = 4096;  // lines a writer: no member lags behind by more

    explicit room(const load_options& wanted) : options(wanted) {
        for (std::size_t i = 0; i < options.senders; ++i)
            windows.push_back(std::make_unique<cove::semaphore>(options.window));
        sent_at.resize(options.senders * remembered);
    }

    std::string print(const line_head& head) const {
        std::string line(options.size_bytes, '.');
        char text[40];
        const int size = std::snprintf(text, sizeof text, "%c%06u%012llu", head.kind, head.writer,
                                       static_cast<unsigned long long>(head.number));
        std::memcpy(line.data(), text, static_cast<std::size_t>(size));
        line.back() = '\n';
        return line;
    }

    // Reads one back, and insists on every byte of it.
    line_head parse(std::string_view line) const {
        line_head head{line[0], 0, 0};
        for (std::size_t i = 1; i < 7; ++i) head.writer = head.writer * 10 + static_cast<unsigned>(line[i] - '0');
        for (std::size_t i = 7; i < 19; ++i) head.number = head.number * 10 + static_cast<unsigned>(line[i] - '0');
        const bool whole =
            line.back() == '\n' && std::all_of(line.begin() + 19, line.end() - 1, [](char c) { return c == '.'; });
        if (!whole || head.writer >= options.connections) server_failed("a line is damaged");
        return head;
    }

    cove::time_point& sent(const line_head& head) {
        return sent_at[head.writer * remembered + head.number % remembered];
    }

    const load_options& options;
    std::vector<std::unique_ptr<cove::semaphore>> windows;
    std::vector<cove::time_point> sent_at;
    histogram latencies;
};

class member {
public:
    member(room& entered, unsigned number)
        : room_(entered), number_(number), next_(entered.options.senders), buffer_(64 * 1024) {}

    cove::task<> join(cove::tcp_stream& server) {
        const std::string hello = room_.print({'h', number_, 0});
        co_await server.write(hello);
        while (!greeted_) co_await take(server, nullptr);
    }
    cove::task<> listen(cove::tcp_stream& server, measured_span& span) {
        while (ends_ < room_.options.senders) co_await take(server, &span);
    }
    std::uint64_t order() const { return order_; }

private:
    cove::task<> take(cove::tcp_stream& server, measured_span* span) {
        const std::size_t count = co_await server.read(std::span<char>(buffer_).subspan(kept_));
        if (count == 0) server_failed("a member was disconnected");
        kept_ += count;
        const std::size_t size = room_.options.size_bytes;
        const cove::time_point present = cove::now();
        std::size_t done = 0;
        for (; kept_ - done >= size; done += size) hear(room_.parse({buffer_.data() + done, size}), present, span);
        std::memmove(buffer_.data(), buffer_.data() + done, kept_ - done);
        kept_ -= done;
    }

    void hear(const line_head& head, cove::time_point present, measured_span* span) {
        if (head.kind == 'h') {
            greeted_ |= head.writer == number_;
            return;
        }
        if (head.writer >= next_.size() || head.number != next_[head.writer]++)
            server_failed("a line is lost or repeated");
        order_ = (order_ ^ head.writer) * 0x100000001b3;
        if (head.kind == 'e') {
            ++ends_;
            return;
        }
        room_.latencies.add(static_cast<std::uint64_t>((present - room_.sent(head)).count()));
        if (span != nullptr) span->count();
        if (head.writer == number_) room_.windows[number_]->release();
    }

    room& room_;
    unsigned number_;
    bool greeted_ = false;
    std::size_t ends_ = 0;
    std::uint64_t order_ = 0;
    std::vector<std::uint64_t> next_;
    std::vector<char> buffer_;
    std::size_t kept_ = 0;
};

cove::task<> speak(room& chat, unsigned number, cove::tcp_stream& server, const measured_span& span) {
    std::uint64_t next = 0;
    for (; span.goes_on(); ++next) {
        auto place = co_await chat.windows[number]->acquire();
        place.keep();  // until the line comes back
        const line_head head{'l', number, next};
        const std::string line = chat.print(head);
        chat.sent(head) = cove::now();
        co_await server.write(line);
    }
    const std::string last = chat.print({'e', number, next});
    co_await server.write(last);
}

}  // namespace

cove::task<> fan_out(const load_options& options, report& into) {
    if (options.size_bytes < 32 || options.senders > options.connections)
        server_failed("fan-out needs lines of 32 bytes, and senders among the connections");
    std::vector<cove::tcp_stream> connections = co_await connect_all(options, options.connections);
    room chat(options);
    std::vector<member> members;
    for (unsigned i = 0; i < connections.size(); ++i) members.emplace_back(chat, i);
    for (std::size_t i = 0; i < members.size(); ++i) co_await members[i].join(connections[i]);
    measured_span span(options);
    cove::task_group all;
    for (std::size_t i = 0; i < members.size(); ++i) all.spawn(members[i].listen(connections[i], span));
    for (unsigned i = 0; i < options.senders; ++i) all.spawn(speak(chat, i, connections[i], span));
    co_await all.join();
    span.end(into, "deliveries_per_s", "cpu_us_per_delivery");
    into.add(chat.latencies);
    for (const member& each : members)
        if (each.order() != members[0].order()) server_failed("members saw different orders");
}
