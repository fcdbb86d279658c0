// The concept: what is a stream and what is not, and that the templates of the net floor ask for no more than it says.

#include <cove/net/line_reader.hpp>
#include <cove/net/outbox.hpp>
#include <cove/net/stream.hpp>
#include <cove/net/tcp.hpp>

#include <cove/runtime/sleep.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

using cove::task;

namespace {

// The smallest stream: what is written is kept, what is read comes from a text, a few bytes at a time.
class text_stream {
public:
    explicit text_stream(std::string text) : text_(std::move(text)) {}

    task<std::size_t> read(std::span<char> into) {
        co_await cove::yield();
        const std::size_t count = std::min({into.size(), text_.size() - at_, std::size_t{3}});
        std::memcpy(into.data(), text_.data() + at_, count);
        at_ += count;
        co_return count;
    }
    task<cove::buffer> receive() {
        cove::buffer some = cove::buffer::take();
        some.set_size(co_await read({some.data(), cove::buffer::capacity}));
        co_return std::move(some);
    }
    task<> write(std::string_view data) {
        co_await cove::yield();
        written += data;
    }
    task<> write(std::span<const std::string_view> parts, std::size_t& count) {
        count = 0;
        for (const std::string_view part : parts) {
            co_await write(part);
            count += part.size();
        }
    }
    void shutdown_write() {}
    task<> close_gracefully() {
        close();
        co_return;
    }
    void close() noexcept { open = false; }

    std::string written;
    bool open = true;

private:
    std::string text_;
    std::size_t at_ = 0;
};

struct without_receive : text_stream {
    using text_stream::text_stream;
    task<cove::buffer> receive() = delete;
};
struct without_vectored_write : text_stream {
    task<> write(std::string_view data);
};
struct without_graceful_close : text_stream {
    void close_gracefully() = delete;
};
struct without_shutdown : text_stream {
    void shutdown_write() = delete;
};
struct reads_int : text_stream {
    task<int> read(std::span<char> into);
};
struct close_throws : text_stream {
    void close();
};
struct immovable : text_stream {
    immovable(immovable&&) = delete;
};

static_assert(cove::stream<cove::tcp_stream>);
static_assert(cove::stream<text_stream>);
static_assert(!cove::stream<const cove::tcp_stream>);
static_assert(!cove::stream<without_receive>);
static_assert(!cove::stream<without_vectored_write>);
static_assert(!cove::stream<without_graceful_close>);
static_assert(!cove::stream<without_shutdown>);
static_assert(!cove::stream<reads_int>);
static_assert(!cove::stream<close_throws>);
static_assert(!cove::stream<immovable>);
static_assert(!cove::stream<cove::tcp_listener>);
static_assert(!cove::stream<int>);

}  // namespace

TEST_CASE("a line_reader reads any stream") {
    test::within([]() -> task<> {
        text_stream source("first\r\nsecond line\n\nlast\n");
        cove::line_reader<text_stream> lines(source);
        for (const std::string_view expected : {"first", "second line", "", "last"}) {
            const auto line = co_await lines.read_line();
            CHECK(line == expected);
        }
        const auto end = co_await lines.read_line();
        CHECK(!end);
    });
}

TEST_CASE("an outbox writes to any stream, and finishes it") {
    test::within([]() -> task<> {
        text_stream target("");
        cove::outbox box;
        CHECK(box.try_push(cove::message("one ")));
        CHECK(box.try_push(cove::message("two ")));
        co_await box.finish(target, "bye");
        CHECK(target.written == "one two bye");
        CHECK(!target.open);
    });
}
