// Ownership of a descriptor: closed once, moved and given away at any moment, and everybody who waits is told.

#include <cove/runtime/descriptor.hpp>

#include <cove/runtime/io_operation.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/socket_pair.hpp>
#include <support/test_kernel.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>
#include <utility>

using namespace std::chrono_literals;

namespace {

class read_byte final : public cove::io_operation<read_byte> {
public:
    explicit read_byte(cove::descriptor& from) noexcept : io_operation(from, cove::direction::read) {}

    long await_resume() const {
        if (outcome() < 0) throw_outcome();
        return outcome();
    }

private:
    const char* name() const noexcept override { return "read"; }
    friend cove::io_waiter;
    long try_once(cove::kernel& os, int fd, bool& drained) noexcept {
        char byte = 0;
        const long count = os.receive(fd, &byte, 1);
        drained = count == 0;
        return count;
    }
};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int event() { return ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

cove::task<> reads(cove::descriptor& from, std::error_code& error) {
    const auto outcome = co_await cove::as_result(read_byte(from));
    error = outcome.error();
}

}  // namespace

TEST_CASE("a descriptor is closed by its destructor, and only once") {
    test::test_kernel os;
    const int fd = event();
    {
        cove::descriptor owner(fd, os);
        CHECK(owner.is_open());
        CHECK(owner.number() == fd);
        CHECK(is_open(fd));
    }
    CHECK_FALSE(is_open(fd));
    CHECK(os.calls["close"] == 1);
    cove::descriptor twice(event(), os);
    twice.close();
    twice.close();
    CHECK(os.calls["close"] == 2);
    CHECK(twice.number() == -1);
    CHECK_FALSE(twice.is_open());
}

TEST_CASE("an empty descriptor is closed, and may be closed") {
    cove::descriptor empty;
    CHECK_FALSE(empty.is_open());
    empty.close();
    CHECK(empty.release() == -1);
}

TEST_CASE("moving gives the descriptor away and closes what was there") {
    const int first = event();
    const int second = event();
    cove::descriptor a(first);
    cove::descriptor b(second);
    a = std::move(b);
    CHECK_FALSE(is_open(first));
    CHECK(a.number() == second);
    CHECK_FALSE(b.is_open());
    b.close();
    CHECK(is_open(second));
    cove::descriptor& same = a;
    a = std::move(same);
    CHECK(a.number() == second);
    CHECK(is_open(second));
    const cove::descriptor c(std::move(a));
    CHECK(c.number() == second);
    CHECK_FALSE(a.is_open());
}

TEST_CASE("release gives the number away, open") {
    const int fd = event();
    {
        cove::descriptor owner(fd);
        CHECK(owner.release() == fd);
        CHECK_FALSE(owner.is_open());
    }
    CHECK(is_open(fd));
    ::close(fd);
}

TEST_CASE("a descriptor may be moved while an operation waits on it") {
    auto body = []() -> cove::task<> {
        test::socket_pair pair;
        std::error_code error(EINVAL, std::generic_category());
        cove::task_group group;
        group.spawn(reads(pair.near, error));
        co_await cove::yield();
        auto elsewhere = std::make_unique<cove::descriptor>(std::move(pair.near));
        cove::descriptor final_place;
        final_place = std::move(*elsewhere);
        elsewhere.reset();
        pair.send("xy");
        co_await group.join();
        CHECK(error == std::error_code());
        CHECK(co_await read_byte(final_place) == 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation that waits hears when the descriptor is closed after it was moved") {
    auto body = []() -> cove::task<> {
        test::socket_pair pair;
        std::error_code error;
        cove::task_group group;
        group.spawn(reads(pair.near, error));
        co_await cove::yield();
        { const cove::descriptor short_lived(std::move(pair.near)); }
        co_await group.join();
        CHECK(error == cove::errc::closed);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation that waits hears when the descriptor is released, and another loop can take it") {
    auto body = []() -> cove::task<int> {
        test::socket_pair pair;
        std::error_code error;
        cove::task_group group;
        group.spawn(reads(pair.near, error));
        co_await cove::yield();
        const int number = pair.near.release();
        co_await group.join();
        CHECK(error == cove::errc::closed);
        pair.send("x");
        co_return number;
    };
    const int number = test::run_on_linux(body());
    auto goes_on = [number]() -> cove::task<> {
        cove::descriptor taken(number);
        CHECK(co_await read_byte(taken) == 1);
        CHECK(co_await read_byte(taken) == 0);
    };
    test::run_on_linux(goes_on());
}

TEST_CASE("a descriptor may outlive the loop that it belonged to") {
    test::socket_pair pair;
    auto body = [&pair]() -> cove::task<> {
        std::error_code error;
        cove::task_group group;
        group.spawn(reads(pair.near, error));
        co_await cove::yield();
    };
    test::run_on_linux(body());
    CHECK(pair.near.is_open());
    // The next loop registers it anew.
    auto again = [&pair]() -> cove::task<> {
        std::error_code error(EINVAL, std::generic_category());
        cove::task_group group;
        group.spawn(reads(pair.near, error));
        co_await cove::yield();
        pair.send("x");
        co_await group.join();
        CHECK(error == std::error_code());
    };
    test::run_on_linux(again());
}

TEST_CASE("a registered descriptor leaves the poller before it is closed, whoever else holds the description") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        test::socket_pair pair;
        std::error_code error;
        cove::task_group group;
        group.spawn(reads(pair.near, error));
        co_await cove::yield();
        const int copy = ::dup(pair.near.number());
        const long before = os.calls["control"];
        pair.near.close();
        CHECK(os.calls["control"] == before + 1);
        co_await group.join();
        // Were it still registered, this would wake the loop.
        pair.send("x");
        const auto turns = cove::loop::current().counters().turns;
        co_await cove::sleep_for(1h);
        CHECK(cove::loop::current().counters().turns - turns < 5);
        ::close(copy);
    };
    test::run(body(), os);
}

TEST_CASE("closing wakes those who wait for the process to have a descriptor to spare") {
    auto body = []() -> cove::task<> {
        bool woken = false;
        auto waits = [&woken]() -> cove::task<> {
            co_await cove::loop::current().descriptor_closed().wait();
            woken = true;
        };
        cove::descriptor one(event());
        cove::task_group group;
        group.spawn(waits());
        co_await cove::sleep_for(1s);
        CHECK_FALSE(woken);
        one.close();
        co_await group.join();
        CHECK(woken);
    };
    test::run_on_linux(body());
}
