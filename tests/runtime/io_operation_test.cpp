// The eight steps of an operation on a descriptor, one by one and where they meet.

#include <cove/runtime/io_operation.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/socket_pair.hpp>
#include <support/test_kernel.hpp>

#include <sys/socket.h>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;

namespace {

// The smallest operation that there can be: up to 16 bytes from, or one byte to, a socket.
class transfer final : public cove::io_operation<transfer> {
public:
    transfer(cove::descriptor& target, cove::direction d) noexcept : io_operation(target, d) {}

    long await_resume() const {
        if (outcome() < 0) throw_outcome();
        return outcome();
    }
    cove::result<long> take_result() const {
        if (outcome() < 0) return cove::detail::to_error_code(outcome());
        return outcome();
    }

private:
    const char* name() const noexcept override { return what_for() == cove::direction::read ? "read" : "write"; }
    friend cove::io_waiter;
    long try_once(cove::kernel& os, int fd, bool& drained) noexcept {
        char bytes[16] = {};
        if (what_for() == cove::direction::write) return os.send(fd, bytes, 1);
        const long count = os.receive(fd, bytes, sizeof bytes);
        drained = count >= 0 && count < static_cast<long>(sizeof bytes);
        return count;
    }
};

transfer read(cove::descriptor& from) { return transfer(from, cove::direction::read); }
transfer write(cove::descriptor& to) { return transfer(to, cove::direction::write); }

cove::task<> reads_into(cove::descriptor& from, std::vector<long>& counts) {
    auto operation = read(from);
    counts.push_back(co_await operation);
}

cove::task<> reads_error_into(cove::descriptor& from, std::error_code& error) {
    const auto outcome = co_await cove::as_result(read(from));
    error = outcome.error();
}

}  // namespace

TEST_CASE("an operation that can finish at once makes one system call and no registration") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair sockets;
        sockets.send("hello");
        CHECK(co_await read(sockets.near) == 5);
        CHECK(co_await write(sockets.near) == 1);
        CHECK(os.calls["receive"] == 1);
        CHECK(os.calls["send"] == 1);
        CHECK(os.calls["control"] == 1);  // the loop's own event descriptor
    };
    test::run(body(), os);
}

TEST_CASE("an operation that has to wait registers the descriptor once and finishes when it is ready") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair sockets;
        std::vector<long> counts;
        for (int i = 0; i < 3; ++i) {
            cove::task_group group;
            group.spawn(reads_into(sockets.near, counts));
            co_await cove::sleep_for(1s);
            sockets.send("abc");
            co_await group.join();
        }
        CHECK(counts == std::vector<long>{3, 3, 3});
        CHECK(os.calls["control"] == 2);
        CHECK(os.calls["receive"] == 4);  // one EAGAIN: after a short read nothing is tried in vain
    };
    test::run(body(), os);
}

TEST_CASE("data and the end of the stream that came together are both read") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        std::vector<long> counts;
        cove::task_group group;
        group.spawn(reads_into(sockets.near, counts));
        co_await cove::sleep_for(1s);
        sockets.send("abc");
        sockets.far.close();
        co_await group.join();
        CHECK(co_await read(sockets.near) == 0);
        CHECK(co_await read(sockets.near) == 0);
        CHECK(counts == std::vector<long>{3});
    };
    test::run_on_linux(body());
}

TEST_CASE("an error of the system call is thrown with the operation and the descriptor named") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair sockets;
        os.fault = [](std::string_view call, int) -> std::optional<long> {
            if (call == "receive") return -ECONNRESET;
            return {};
        };
        std::string what;
        std::error_code code;
        try {
            co_await read(sockets.near);
        } catch (const std::system_error& error) {
            what = error.what();
            code = error.code();
        }
        CHECK(code == std::errc::connection_reset);
        CHECK(what == "read fd " + std::to_string(sockets.near.number()) + ": Connection reset by peer");
        const auto as_value = co_await cove::as_result(read(sockets.near));
        CHECK(as_value.error() == std::errc::connection_reset);
    };
    test::run(body(), os);
}

TEST_CASE("an interrupted system call is made again, and nobody hears of it") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair sockets;
        sockets.send("abc");
        int interruptions = 5;
        os.fault = [&interruptions](std::string_view call, int) -> std::optional<long> {
            if (call == "receive" && interruptions-- > 0) return -EINTR;
            return {};
        };
        CHECK(co_await read(sockets.near) == 3);
        CHECK(interruptions < 0);
    };
    test::run(body(), os);
}

TEST_CASE("in a canceled scope no system call is made") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair sockets;
        sockets.send("abc");
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(read(sockets.near)));
        CHECK(os.calls["receive"] == 0);
        CHECK(co_await read(sockets.near) == 3);
    };
    test::run(body(), os);
}

TEST_CASE("an operation that is canceled while it waits has taken nothing") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        CHECK_FALSE(co_await cove::move_on_after(1s, read(sockets.near)));
        sockets.send("abc");
        CHECK(co_await read(sockets.near) == 3);
        CHECK(cove::loop::current().reactor().waiting == 0);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation that is canceled in the turn in which it became ready has taken nothing") {
    auto body = []() -> cove::task<> {
        test::socket_pair first;
        test::socket_pair second;
        cove::cancel_scope scope;
        std::optional<long> count;
        auto cancels = [&]() -> cove::task<> {
            co_await read(first.near);
            scope.cancel();
        };
        auto reads = [&]() -> cove::task<> { count = co_await scope.run(read(second.near)); };
        cove::task_group group;
        group.spawn(cancels());
        group.spawn(reads());
        co_await cove::yield();
        // One batch of events wakes both, in this order.
        first.send("abc");
        second.send("defg");
        co_await group.join();
        CHECK_FALSE(count);
        CHECK(co_await read(second.near) == 4);
    };
    test::run_on_linux(body());
}

TEST_CASE("a second operation in the same direction is busy, one in the other direction is not") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        std::vector<long> counts;
        cove::task_group group;
        group.spawn(reads_into(sockets.near, counts));
        co_await cove::yield();
        const auto second = co_await cove::as_result(read(sockets.near));
        CHECK(second.error() == cove::errc::busy);
        CHECK(co_await write(sockets.near) == 1);
        sockets.send("abc");
        co_await group.join();
        CHECK(counts == std::vector<long>{3});
        sockets.send("abcd");
        CHECK(co_await read(sockets.near) == 4);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation on a closed descriptor is refused, and so is one that waits when it is closed") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        std::error_code error;
        cove::task_group group;
        group.spawn(reads_error_into(sockets.near, error));
        co_await cove::yield();
        CHECK(cove::loop::current().reactor().waiting == 1);
        sockets.near.close();
        CHECK(cove::loop::current().reactor().waiting == 0);
        CHECK(error == std::error_code());  // close runs no coroutine
        co_await group.join();
        CHECK(error == cove::errc::closed);
        CHECK(error == std::errc::bad_file_descriptor);
        const auto later = co_await cove::as_result(read(sockets.near));
        CHECK(later.error() == cove::errc::closed);
    };
    test::run_on_linux(body());
}

TEST_CASE("a frame that is destroyed while it waits leaves its descriptor usable") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        std::vector<long> counts;
        {
            cove::task_group group;
            group.spawn(reads_into(sockets.near, counts));
            co_await cove::yield();
        }
        CHECK(cove::loop::current().reactor().waiting == 0);
        sockets.send("abc");
        CHECK(co_await read(sockets.near) == 3);
        CHECK(counts.empty());
    };
    test::run_on_linux(body());
}

TEST_CASE("a spurious event leads back to waiting, and the data that comes later is read") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair sockets;
        std::vector<long> counts;
        cove::task_group group;
        group.spawn(reads_into(sockets.near, counts));
        co_await cove::yield();
        // The event comes, and another process that shares the socket has taken the data before us.
        sockets.send("abc");
        char stolen[8];
        os.fault = [&](std::string_view call, int) -> std::optional<long> {
            if (call == "receive") CHECK(::recv(sockets.near.number(), stolen, sizeof stolen, 0) == 3);
            if (call == "receive") os.fault = nullptr;
            return {};
        };
        co_await cove::sleep_for(1s);
        CHECK(counts.empty());
        CHECK(group.size() == 1);
        sockets.send("de");
        co_await group.join();
        CHECK(counts == std::vector<long>{2});
    };
    test::run(body(), os);
}

TEST_CASE("an operation that always succeeds at once lets others have their turns") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        bool stop = false;
        long writes = 0;
        auto greedy = [&]() -> cove::task<> {
            char drain[256];
            while (!stop && writes < 1'000'000) {
                co_await write(sockets.near);
                if (++writes % 100 == 0) CHECK(::recv(sockets.far.number(), drain, sizeof drain, 0) > 0);
            }
        };
        cove::task_group group;
        group.spawn(greedy());
        for (int i = 0; i < 10; ++i) co_await cove::yield();
        CHECK(writes < 1000);
        // Timers and descriptors too.
        co_await cove::sleep_for(1ms);
        test::socket_pair other;
        other.send("abc");
        CHECK(co_await read(other.near) == 3);
        stop = true;
        co_await group.join();
        CHECK(writes < 1'000'000);
    };
    test::test_kernel os;
    os.jump = false;
    test::run(body(), os);
}

TEST_CASE("an operation that spent the budget can be canceled and closed while it waits for its turn") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        cove::cancel_scope scope;
        long writes = 0;
        auto greedy = [&]() -> cove::task<> {
            for (;;) {
                co_await write(sockets.near);
                ++writes;
            }
        };
        auto in_scope = [&]() -> cove::task<> { co_await scope.run(greedy()); };
        cove::task_group group;
        group.spawn(in_scope());
        co_await cove::yield();
        const long before = writes;
        CHECK(before > 0);
        scope.cancel();
        co_await group.join();
        CHECK(writes == before);

        std::error_code error;
        auto greedy_until_closed = [&]() -> cove::task<> {
            while (!error) error = (co_await cove::as_result(write(sockets.near))).error();
        };
        group.spawn(greedy_until_closed());
        co_await cove::yield();
        sockets.near.close();
        co_await group.join();
        CHECK(error == cove::errc::closed);
    };
    test::run_on_linux(body());
}

TEST_CASE("where the kernel refuses a registration the operation fails and nothing stays behind") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair sockets;
        for (const int refusal : {ENOSPC, ENOMEM}) {
            os.fault = [refusal](std::string_view call, int) -> std::optional<long> {
                if (call == "control") return -refusal;
                return {};
            };
            const auto refused = co_await cove::as_result(read(sockets.near));
            CHECK(refused.error() == std::error_code(refusal, std::generic_category()));
            CHECK(cove::loop::current().reactor().waiting == 0);
        }
        os.fault = nullptr;
        std::vector<long> counts;
        cove::task_group group;
        group.spawn(reads_into(sockets.near, counts));
        co_await cove::yield();
        sockets.send("abc");
        co_await group.join();
        CHECK(counts == std::vector<long>{3});
    };
    test::run(body(), os);
}
