#include <cove/net/line_reader.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>

#include <limits>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using cove::task;
using reader = cove::line_reader<cove::tcp_stream>;

namespace {

struct what_was_read {
    std::vector<std::string> lines;
    std::error_code error;
    std::string partial;
};

task<> read_lines(cove::tcp_stream& from, std::size_t length_max, what_was_read& into) {
    reader lines(from, length_max);
    try {
        while (const auto line = co_await lines.read_line()) into.lines.emplace_back(*line);
    } catch (const std::system_error& error) {
        into.error = error.code();
        into.partial = lines.partial();
    }
}

// The lines of a text that arrives in pieces of this size.
what_was_read lines_of(const std::string& text, std::size_t piece = 1'000'000, std::size_t length_max = 8192) {
    what_was_read read;
    test::within([&]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        cove::task_group group;
        group.spawn(read_lines(pair.left, length_max, read));
        for (std::size_t at = 0; at < text.size(); at += piece) {
            const std::string_view next = std::string_view(text).substr(at, piece);
            if (co_await test::error_of(pair.right.write(next))) break;
            co_await cove::yield();
            if (piece < 10) co_await cove::yield();
        }
        if (pair.right.is_open()) pair.right.close();
        co_await group.join();
    });
    return read;
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("lines come without their ends, however the bytes arrive") {
    const std::string text = "first\nsecond\r\n\n\r\na\rb\r\r\n last \n";
    for (const std::size_t piece : {1U, 2U, 3U, 5U, 7U, 100U}) {
        const what_was_read read = lines_of(text, piece);
        CHECK(read.lines == strings{"first", "second", "", "", "a\rb\r", " last "});
        CHECK(!read.error);
    }
}

TEST_CASE("lines hold any bytes, zeros as well") {
    const std::string binary("\0\x01\xff\x80\r\0x", 7);
    for (const std::size_t piece : {1U, 100U}) {
        const what_was_read read = lines_of(binary + '\n' + binary + "\r\n", piece);
        CHECK(read.lines == strings{binary, binary});
    }
}

TEST_CASE("an empty stream has no lines, and the end may be asked for again") {
    CHECK(lines_of("").lines.empty());
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        pair.right.close();
        reader lines(pair.left);
        for (int i = 0; i < 3; ++i) {
            const auto line = co_await lines.read_line();
            CHECK(!line);
        }
    });
}

TEST_CASE("a stream that ends in the middle of a line is an error, and partial() gives what there was") {
    for (const std::size_t piece : {1U, 100U}) {
        const what_was_read read = lines_of("whole\nand a ha", piece);
        CHECK(read.lines == strings{"whole"});
        CHECK(read.error == cove::errc::end_of_stream);
        CHECK(read.partial == "and a ha");
    }
}

TEST_CASE("a line of length_max bytes is a line, and one of a byte more is too long") {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{4}, std::size_t{100}})
        for (const char* end : {"\n", "\r\n"}) {
            const what_was_read fits = lines_of(std::string("12345678") + end + "next\n", piece, 8);
            CHECK(fits.lines == strings{"12345678", "next"});
            const what_was_read too_long = lines_of(std::string("ok\n123456789") + end + "next\n", piece, 8);
            CHECK(too_long.lines == strings{"ok"});
            CHECK(too_long.error == cove::errc::line_too_long);
        }
    CHECK(lines_of("\n\r\n", 100, 0).lines == strings{"", ""});
    CHECK(lines_of("x\n", 100, 0).error == cove::errc::line_too_long);
}

// length_max_ + 1 overflows.
TEST_CASE("the largest bound there is bounds nothing") {
    const what_was_read read = lines_of("abc\n", 100, std::numeric_limits<std::size_t>::max());
    CHECK(read.lines == strings{"abc"});
}

TEST_CASE("a line that is longer than a buffer comes whole") {
    const std::string long_line(100'000, 'l');
    for (const std::size_t piece : {std::size_t{10'000}, std::size_t{1'000'000}}) {
        const what_was_read read = lines_of("a\n" + long_line + "\r\nb\n", piece, 100'000);
        CHECK(read.lines.size() == 3);
        CHECK((read.lines.at(1) == long_line));
        CHECK(read.lines.at(2) == "b");
    }
}

TEST_CASE("many lines in one buffer are given one by one, without another system call") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            std::string text;
            for (int i = 0; i < 1000; ++i) text += std::to_string(i) + '\n';
            co_await pair.right.write(text);
            reader lines(pair.left);
            const long calls = os.calls["receive"];
            int wrong = 0;
            for (int i = 0; i < 1000; ++i) {
                const auto line = co_await lines.read_line();
                if (line != std::to_string(i)) ++wrong;
            }
            CHECK(wrong == 0);
            CHECK(os.calls["receive"] == calls + 1);
        },
        os);
}

TEST_CASE("a peer that never ends its line is refused at the bound, not read on") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        what_was_read read;
        std::size_t sent = 0;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            const std::string much(100'000'000, 'x');
            (void)co_await cove::as_result(pair.right.write(much, sent));
        });
        co_await read_lines(pair.left, 50'000, read);
        CHECK(read.error == cove::errc::line_too_long);
        CHECK(sent < 1'000'000);
        pair.left.close();
        co_await group.join();
    });
}

TEST_CASE("a read_line that is canceled loses nothing, and the next one goes on where it was") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            reader lines(pair.left);
            co_await pair.right.write("one\nbegin");
            auto line = co_await cove::move_on_after(1s, lines.read_line());
            CHECK(line.has_value());
            CHECK(*line == "one");
            for (const std::string_view more : {"ning", "", " and "}) {
                line = co_await cove::move_on_after(1s, lines.read_line());
                CHECK(!line);
                co_await pair.right.write(more);
            }
            line = co_await cove::move_on_after(1s, lines.read_line());
            CHECK(!line);
            CHECK(lines.partial() == "beginning and ");
            co_await pair.right.write("end\r\nlast\n");
            line = co_await cove::move_on_after(1s, lines.read_line());
            CHECK(*line == "beginning and end");
            CHECK(lines.partial().empty());
            line = co_await cove::move_on_after(1s, lines.read_line());
            CHECK(*line == "last");
        },
        os);
}

TEST_CASE("what the stream throws comes through, and the lines before it have been given") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        co_await pair.right.write("one\ntwo\nthr");
        test::reset(pair.right);
        what_was_read read;
        co_await read_lines(pair.left, 100, read);
        CHECK(read.lines == strings{"one", "two"});
        CHECK(read.error == std::errc::connection_reset);
        CHECK(read.partial == "thr");
    });
}
