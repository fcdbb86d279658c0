// Writing to a tcp_stream: everything or an error, however the kernel cuts it up.

#include <cove/net/tcp.hpp>

#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <cove/net/sim/world.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using cove::task;

namespace {

std::string pattern(std::size_t size) {
    std::string made(size, '\0');
    for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<char>(i * 31 + i / 251);
    return made;
}

}  // namespace

TEST_CASE("a write that the kernel cuts in two, at any place, arrives whole") {
    const std::string data = "all of these bytes";
    for (std::size_t cut = 1; cut < data.size(); ++cut) {
        test::test_kernel os;
        os.jump = false;
        test::within(
            [&]() -> task<> {
                test::stream_pair pair = co_await test::connected_pair();
                int calls = 0;
                os.fault = [&](std::string_view call, int fd) -> std::optional<long> {
                    if (call != "send" && call != "send_message") return std::nullopt;
                    ++calls;
                    if (calls % 2 == 1) return ::send(fd, data.data(), cut, MSG_NOSIGNAL);
                    return std::nullopt;
                };
                std::size_t written = 0;
                co_await pair.left.write(data, written);
                CHECK(written == data.size());
                CHECK(calls == 2);
                const std::array<std::string_view, 4> parts{"all of ", "", "these ", "bytes"};
                co_await pair.left.write(parts, written);
                CHECK(written == data.size());
                CHECK(calls == 4);
                pair.left.close();
                const std::string all = co_await test::read_all(pair.right);
                CHECK(all == data + data);
            },
            os);
    }
}

TEST_CASE("a write that the kernel takes byte by byte arrives whole") {
    const std::string data = pattern(200);
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            std::size_t sent = 0;
            os.fault = [&](std::string_view call, int fd) -> std::optional<long> {
                if (call != "send") return std::nullopt;
                return ::send(fd, data.data() + sent++, 1, MSG_NOSIGNAL);
            };
            co_await pair.left.write(data);
            CHECK(sent == data.size());
            pair.left.close();
            const std::string all = co_await test::read_all(pair.right);
            CHECK(all == data);
        },
        os);
}

TEST_CASE("a write larger than all buffers waits for the reader, and arrives whole") {
    const std::string data = pattern(300'000);
    for (const bool vectored : {false, true}) {
        test::within([&]() -> task<> {
            test::stream_pair pair = co_await test::narrow_pair();
            std::size_t written = 0;
            cove::task_group group;
            group.spawn([&]() -> task<> {
                const std::string_view view = data;
                const std::array<std::string_view, 3> parts{view.substr(0, 1), view.substr(1, 200'000),
                                                            view.substr(200'001)};
                if (vectored)
                    co_await pair.left.write(parts, written);
                else
                    co_await pair.left.write(view, written);
                pair.left.shutdown_write();
            });
            co_await cove::yield();
            CHECK(written > 0);
            CHECK(written < data.size());
            const std::string all = co_await test::read_all(pair.right);
            co_await group.join();
            CHECK((all == data));  // in parentheses: a failure need not print it
            CHECK(written == data.size());
        });
    }
}

TEST_CASE("empty parts, first, in the middle or last, change nothing") {
    const std::vector<std::vector<std::string_view>> cases{
        {}, {""}, {"", "", ""}, {"", "abc"}, {"a", "", "bc"}, {"abc", ""}, {"", "a", "", "", "bc", "", ""}};
    test::within([&]() -> task<> {
        for (const auto& parts : cases) {
            test::stream_pair pair = co_await test::connected_pair();
            std::size_t written = 99;
            co_await pair.left.write(parts, written);
            std::size_t expected = 0;
            for (const std::string_view part : parts) expected += part.size();
            CHECK(written == expected);
            pair.left.close();
            const std::string all = co_await test::read_all(pair.right);
            CHECK(all == (expected == 0 ? "" : "abc"));
        }
    });
}

TEST_CASE("65,536 parts of one byte arrive whole and in order") {
    const std::string data = pattern(65'536);
    std::vector<std::string_view> parts;
    for (std::size_t i = 0; i < data.size(); ++i) {
        parts.push_back(std::string_view(data).substr(i, 1));
        if (i % 64 == 63) parts.push_back("");  // so that a call's last or first part is empty now and then
    }
    test::within([&]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        std::size_t written = 0;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            co_await pair.left.write(parts, written);
            pair.left.close();
        });
        const std::string all = co_await test::read_all(pair.right);
        co_await group.join();
        CHECK((all == data));
        CHECK(written == data.size());
    });
}

TEST_CASE("writing to a peer that has closed gives EPIPE, and no SIGPIPE") {
    for (const bool vectored : {false, true}) {
        test::within([&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            pair.right.close();
            std::error_code error =
                co_await test::error_of(pair.left.write("the first makes the peer answer by a reset"));
            CHECK(!error);
            const std::array<std::string_view, 2> parts{"a", "b"};
            for (int i = 0; i < 2; ++i) {
                if (vectored)
                    error = co_await test::error_of(pair.left.write(parts));
                else
                    error = co_await test::error_of(pair.left.write("again"));
                CHECK(error == std::errc::broken_pipe);
            }
            error = co_await test::error_of(pair.left.write_some("again"));
            CHECK(error == std::errc::broken_pipe);
        });
    }
}

TEST_CASE("a write that waits ends with an error when the peer resets the connection") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_tcp_pair();
        const std::string data(1'000'000, 'x');
        std::error_code error;
        std::size_t written = 0;
        cove::task_group group;
        group.spawn([&]() -> task<> { error = (co_await cove::as_result(pair.left.write(data, written))).error(); });
        co_await cove::yield();
        CHECK(written < data.size());
        test::reset(pair.right);
        co_await group.join();
        CHECK(error == std::errc::connection_reset);
    });
}

TEST_CASE("an error of the kernel's while writing reaches the writer, who knows how much was sent") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            int calls = 0;
            os.fault = [&](std::string_view call, int fd) -> std::optional<long> {
                if (call != "send") return std::nullopt;
                return ++calls == 1 ? ::send(fd, "abc", 3, 0) : -ENOBUFS;
            };
            std::size_t written = 0;
            const std::string peer = pair.left.peer_address().to_string();
            const std::string message = co_await test::message_of(pair.left.write("abcdef", written));
            CHECK(message == "write " + peer + ": No buffer space available");
            CHECK(written == 3);
            CHECK(calls == 2);
        },
        os);
}

TEST_CASE("a writer that never has to wait does not keep the others from running") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        bool stop = false;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            while (!stop) co_await pair.left.write("x");
            pair.left.close();
        });
        group.spawn([&]() -> task<> { co_await test::read_all(pair.right); });
        for (int i = 0; i < 10; ++i) co_await cove::sleep_for(1ms);  // would never return
        stop = true;
        co_await group.join();
    });
}

TEST_CASE("a write as fast as its reader lets others run between its megabytes") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            const std::string data(16 * 1024 * 1024, 'x');
            // A peer that takes everything at once.
            os.fault = [&](std::string_view call, int) -> std::optional<long> {
                return call == "send" ? std::optional<long>(64 * 1024) : std::nullopt;
            };
            int turns = 0;
            bool ended = false;
            cove::task_group group;
            group.spawn([&]() -> task<> {
                co_await pair.left.write(data);
                ended = true;
            });
            while (!ended) {
                co_await cove::yield();
                ++turns;
            }
            CHECK(turns >= 8);
            co_await group.join();
        },
        os);
}

TEST_CASE("when a write that waits is canceled, the peer has been sent exactly what `written` says") {
    const std::string data = pattern(1'000'000);
    for (const bool vectored : {false, true}) {
        test::test_kernel os;
        test::within(
            [&]() -> task<> {
                test::stream_pair pair = co_await test::narrow_pair();
                const std::array<std::string_view, 2> parts{std::string_view(data).substr(0, 1'000),
                                                            std::string_view(data).substr(1'000)};
                std::size_t written = 0;
                bool finished = true;
                if (vectored)
                    finished = co_await cove::move_on_after(1s, pair.left.write(parts, written));
                else
                    finished = co_await cove::move_on_after(1s, pair.left.write(data, written));
                CHECK(!finished);
                CHECK(written > 0);
                CHECK(written < data.size());
                pair.left.shutdown_write();
                os.jump = false;
                const std::string all = co_await test::read_all(pair.right);
                CHECK(all.size() == written);
                CHECK(data.starts_with(all));
            },
            os);
    }
}

TEST_CASE("write_some takes at least a byte, and waits until it can") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::narrow_pair();
            const std::string data = pattern(100'000);
            std::size_t sent = co_await pair.left.write_some("");
            CHECK(sent == 0);
            for (;;) {
                const auto more =
                    co_await cove::move_on_after(1s, pair.left.write_some(std::string_view(data).substr(sent)));
                if (!more) break;
                CHECK(*more > 0);
                sent += *more;
            }
            CHECK(sent > 0);
            CHECK(sent < data.size());
            pair.left.shutdown_write();
            os.jump = false;
            const std::string all = co_await test::read_all(pair.right);
            CHECK((all == data.substr(0, sent)));
        },
        os);
}

// Linux tells of room by an edge once a third of the buffer is free; what is between that and full it takes, and says nothing.
TEST_CASE("after a limit was lifted the next write asks for room, though no event has told of any") {
    cove::sim::world_options narrow;
    narrow.send_buffer = 87040;
    narrow.receive_buffer = 2304;
    cove::sim::world world(1, narrow);
    auto& host = world.host("host");
    const auto body = []() -> task<> {
        auto pair = co_await test::connected_pair();
        pair.left.set_unsent_max(80'000);
        const std::string much(200'000, 'x');
        std::size_t written = 0;
        const auto all = co_await cove::move_on_after(1s, pair.left.write(much, written));
        CHECK(!all);
        CHECK(written > 80'000);
        pair.left.set_unsent_max(0);
        const auto last = co_await cove::move_on_after(1s, pair.left.write_some("last words"));
        CHECK(last.has_value());
    };
    test::run(body(), host.os());
}

TEST_CASE("shutdown_write ends one direction and leaves the other open") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        co_await pair.left.write("question");
        pair.left.shutdown_write();
        const std::string question = co_await test::read_all(pair.right);
        CHECK(question == "question");
        co_await pair.right.write("answer");
        pair.right.shutdown_write();
        const std::string answer = co_await test::read_all(pair.left);
        CHECK(answer == "answer");
        const std::error_code error = co_await test::error_of(pair.left.write("more"));
        CHECK(error == std::errc::broken_pipe);
        CHECK_THROWS_WITH_AS(pair.left.shutdown_write(), "shutdown: Transport endpoint is not connected",
                             std::system_error);
        pair.left.close();
        CHECK_THROWS_WITH_AS(pair.left.shutdown_write(), "shutdown: it is closed", std::system_error);
    });
}
