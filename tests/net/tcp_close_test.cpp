// The ends of a tcp_stream: closed, destroyed, moved, canceled, while operations wait on it and while they do not.

#include <cove/net/tcp.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/clock.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using cove::task;

namespace {

task<> read_once(cove::tcp_stream& from, std::vector<std::error_code>& ended) {
    char bytes[10];
    const auto got = co_await cove::as_result(from.read(bytes));
    ended.push_back(got.error());
}

task<> write_much(cove::tcp_stream& to, std::vector<std::error_code>& ended) {
    const std::string data(1'000'000, 'x');
    const auto done = co_await cove::as_result(to.write(data));
    ended.push_back(done.error());
}

}  // namespace

TEST_CASE("closing ends a read and a write that wait with closed, each once") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn(read_once(pair.left, ended));
        group.spawn(write_much(pair.left, ended));
        co_await cove::yield();
        CHECK(ended.empty());
        pair.left.close();
        CHECK(ended.empty());  // resuming is the loop's alone
        CHECK(!pair.left.is_open());
        co_await group.join();
        CHECK(ended == std::vector<std::error_code>(2, cove::errc::closed));
        co_await read_once(pair.left, ended);
        co_await write_much(pair.left, ended);
        CHECK(ended == std::vector<std::error_code>(4, cove::errc::closed));
    });
}

TEST_CASE("closing from the reader ends the writer of the same stream, in whatever order their events come") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            char byte[1];
            co_await pair.left.read(byte);
            pair.left.close();
        });
        group.spawn(write_much(pair.left, ended));
        co_await cove::yield();
        test::reset(pair.right);  // one event for both
        try {
            co_await group.join();
        } catch (const std::system_error& error) {
            CHECK(error.code() == std::errc::connection_reset);
        }
        CHECK(ended.size() <= 1);
    });
}

TEST_CASE("destroying a stream ends what waits on it with closed") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        auto owned = std::make_unique<cove::tcp_stream>(std::move(pair.left));
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn(read_once(*owned, ended));
        group.spawn(write_much(*owned, ended));
        co_await cove::yield();
        owned.reset();
        co_await group.join();
        CHECK(ended == std::vector<std::error_code>(2, cove::errc::closed));
    });
}

TEST_CASE("a stream may be moved while operations wait on it, and closed at its new place") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn(read_once(pair.left, ended));
        co_await cove::yield();
        cove::tcp_stream moved = std::move(pair.left);
        CHECK(!pair.left.is_open());
        co_await pair.right.write("x");
        co_await group.join();
        CHECK(ended == std::vector<std::error_code>(1));
        group.spawn(read_once(moved, ended));
        co_await cove::yield();
        cove::tcp_stream again = std::move(moved);
        again.close();
        co_await group.join();
        CHECK(ended.back() == cove::errc::closed);
    });
}

TEST_CASE("a stream that is assigned to is closed first") {
    test::within([]() -> task<> {
        test::stream_pair one = co_await test::connected_pair();
        test::stream_pair two = co_await test::connected_pair();
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn(read_once(one.left, ended));
        co_await cove::yield();
        one.left = std::move(two.left);
        co_await group.join();
        CHECK(ended.back() == cove::errc::closed);
        const std::string nothing = co_await test::read_all(one.right);
        CHECK(nothing.empty());
        co_await two.right.write("hello");
        two.right.close();
        const std::string all = co_await test::read_all(one.left);
        CHECK(all == "hello");
    });
}

TEST_CASE("closing twice, or after a move, does nothing") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            cove::tcp_stream moved = std::move(pair.left);
            const long closed = os.calls["close"];
            pair.left.close();
            CHECK(os.calls["close"] == closed);
            moved.close();
            moved.close();
            CHECK(os.calls["close"] == closed + 1);
        },
        os);
}

TEST_CASE("a stream whose number is reused at once gets no event that was meant for the one before") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair one = co_await test::connected_pair();
            test::stream_pair two = co_await test::connected_pair();
            std::vector<std::error_code> ended;
            std::optional<std::size_t> early;
            std::string got;
            cove::task_group group;
            group.spawn([&]() -> task<> {
                char bytes[10];
                co_await one.left.read(bytes);  // its event comes in one batch with the one for two.left
                const int number = two.left.native_handle();
                two.left.close();
                test::stream_pair reused(cove::tcp_stream{cove::descriptor()}, cove::tcp_stream{cove::descriptor()});
                int pair_of[2];
                CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair_of) == 0);
                if (pair_of[0] != number) std::swap(pair_of[0], pair_of[1]);
                CHECK(pair_of[0] == number);  // the kernel gives the lowest that is free
                reused.left = cove::tcp_stream(cove::descriptor(pair_of[0]));
                reused.right = cove::tcp_stream(cove::descriptor(pair_of[1]));
                early = co_await cove::move_on_after(1s, reused.left.read(bytes));
                co_await reused.right.write("new");
                got.assign(bytes, co_await reused.left.read(bytes));
            });
            group.spawn(read_once(two.left, ended));
            co_await cove::yield();
            co_await one.right.write("1");
            co_await two.right.write("2");
            co_await group.join();
            CHECK(!early);
            CHECK(got == "new");
            CHECK(ended.size() == 1);
        },
        os);
}

TEST_CASE("two hundred streams closed from one reader leave nothing behind") {
    test::within([]() -> task<> {
        std::vector<test::stream_pair> pairs;
        for (int i = 0; i < 200; ++i) pairs.push_back(co_await test::connected_pair());
        std::vector<std::error_code> ended;
        cove::task_group group;
        for (std::size_t i = 1; i < pairs.size(); ++i) group.spawn(read_once(pairs[i].left, ended));
        group.spawn([&]() -> task<> {
            char byte[1];
            co_await pairs[0].left.read(byte);
            for (test::stream_pair& each : pairs) each.left.close();
        });
        co_await cove::yield();
        for (test::stream_pair& each : pairs) co_await each.right.write("x");
        co_await group.join();
        CHECK(ended.size() == pairs.size() - 1);
    });
}

TEST_CASE("in a canceled scope nothing is read or written, and no system call is made") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            co_await pair.right.write("abc");
            cove::cancel_scope scope;
            scope.cancel();
            const long reads = os.calls["receive"], writes = os.calls["send"];
            char bytes[10];
            const auto count = co_await scope.run(pair.left.read(bytes));
            CHECK(!count);
            const bool written = co_await scope.run(pair.left.write("abc"));
            CHECK(!written);
            CHECK(os.calls["receive"] == reads);
            CHECK(os.calls["send"] == writes);
            const std::size_t later = co_await pair.left.read(bytes);
            CHECK(later == 3);
        },
        os);
}

TEST_CASE("a read that is canceled has taken no bytes, at whatever moment it is canceled") {
    // How often the loop turns between the arrival of the bytes and the cancellation.
    for (int turns = 0; turns < 4; ++turns) {
        test::within([&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            std::string got;
            bool canceled = false;
            cove::cancel_scope scope;
            cove::task_group group;
            group.spawn([&]() -> task<> {
                char bytes[10];
                const auto count = co_await scope.run(pair.left.read(bytes));
                canceled = !count;
                if (count) got.append(bytes, *count);
            });
            co_await cove::yield();
            CHECK(::send(pair.right.native_handle(), "abc", 3, 0) == 3);
            for (int i = 0; i < turns; ++i) co_await cove::yield();
            scope.cancel();
            co_await group.join();
            CHECK(canceled == got.empty());
            if (turns == 0) CHECK(canceled);
            co_await pair.right.write("def");
            pair.right.close();
            got += co_await test::read_all(pair.left);
            CHECK(got == "abcdef");
        });
    }
}

TEST_CASE("a read canceled by another one whose event came in the same batch has taken no bytes") {
    test::within([]() -> task<> {
        test::stream_pair one = co_await test::connected_pair();
        test::stream_pair two = co_await test::connected_pair();
        std::optional<std::size_t> count = 99;
        cove::cancel_scope scope;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            char bytes[10];
            co_await one.left.read(bytes);
            scope.cancel();
        });
        char bytes[10];
        group.spawn([&]() -> task<> { count = co_await scope.run(two.left.read(bytes)); });
        co_await cove::yield();
        co_await one.right.write("1");
        co_await two.right.write("2");
        co_await group.join();
        CHECK(!count);
        count = co_await two.left.read(bytes);
        CHECK(count == 1);
    });
}

TEST_CASE("close_gracefully brings the last response to a peer whose request was not read") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        const std::string request(100'000, 'q'), response(100'000, 'r');
        cove::task_group group;
        group.spawn([&]() -> task<> {
            co_await pair.left.write(response);
            co_await pair.left.close_gracefully();
        });
        co_await pair.right.write(request);
        std::string got;
        char bytes[4096];
        while (got.size() < response.size()) {
            const std::size_t count = co_await pair.right.read(bytes);
            CHECK(count > 0);
            if (count == 0) break;
            got.append(bytes, count);
        }
        CHECK((got == response));
        co_await pair.right.write(request);
        pair.right.close();
        co_await group.join();
        CHECK(!pair.left.is_open());
    });
}

TEST_CASE(
    "close_gracefully waits for a silent peer no longer than its patience, and for a loud one no longer than a "
    "megabyte") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair silent = co_await test::connected_pair();
            const cove::time_point start = cove::now();
            co_await silent.left.close_gracefully(3s);
            CHECK(!silent.left.is_open());
            CHECK(cove::now() - start >= 3s);
            CHECK(cove::now() - start < 4s);
            os.jump = false;
            test::stream_pair loud = co_await test::connected_pair();
            cove::task_group group;
            std::size_t sent = 0;
            group.spawn([&]() -> task<> {
                const std::string data(10'000, 'x');
                while (const auto more = co_await cove::as_result(loud.right.write_some(data))) sent += *more;
            });
            co_await loud.left.close_gracefully(1h);
            CHECK(!loud.left.is_open());
            co_await group.join();
            CHECK(sent >= 1024 * 1024);
        },
        os);
}

TEST_CASE("close_gracefully closes, and throws nothing, when the connection is gone or the stream closed") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        test::reset(pair.right);
        co_await pair.left.close_gracefully();
        CHECK(!pair.left.is_open());
        co_await pair.left.close_gracefully();
    });
}

TEST_CASE("close_gracefully closes at once when it is canceled") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair before = co_await test::connected_pair();
            cove::cancel_scope scope;
            scope.cancel();
            const bool closed = co_await scope.run(before.left.close_gracefully());
            CHECK(!closed);
            CHECK(!before.left.is_open());

            test::stream_pair during = co_await test::connected_pair();
            const cove::time_point start = cove::now();
            const bool finished = co_await cove::move_on_after(1s, during.left.close_gracefully(1h));
            CHECK(!finished);
            CHECK(!during.left.is_open());
            CHECK(cove::now() - start < 2s);
        },
        os);
}
