// An operation in a descriptor's slot: what it is on, before, while and after it waits, wherever the descriptor moves.

#include <cove/runtime/io_waiter.hpp>

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/io_operation.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/socket_pair.hpp>
#include <support/test_kernel.hpp>

#include <string>
#include <system_error>
#include <utility>

namespace {

// Awaits an operation that lives elsewhere.
cove::task<> finish(test::receive& operation, long& count, std::error_code& error) {
    try {
        count = co_await operation;
    } catch (const std::system_error& failed) {
        error = failed.code();
    }
}

}  // namespace

TEST_CASE("an operation names the descriptor that it is on, and none once that is closed") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        const std::string named = "receive fd " + std::to_string(sockets.near.number());
        test::receive operation(sockets.near);
        CHECK(operation.describe() == named);
        long count = -1;
        std::error_code error;
        cove::task_group group;
        group.spawn(finish(operation, count, error));
        co_await cove::yield();
        CHECK(operation.describe() == named);
        sockets.near.close();
        CHECK(operation.number() == -1);
        CHECK(operation.describe() == "receive ");
        co_await group.join();
        CHECK(error == cove::errc::closed);
        CHECK(count == -1);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation that waits stands on the place that its descriptor is moved to") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        const int fd = sockets.near.number();
        test::receive operation(sockets.near);
        long count = -1;
        std::error_code error;
        cove::task_group group;
        group.spawn(finish(operation, count, error));
        co_await cove::yield();
        cove::descriptor moved = std::move(sockets.near);
        CHECK(operation.number() == fd);
        sockets.send("four");
        co_await group.join();
        CHECK(count == 4);
        CHECK(operation.number() == fd);  // it stands on the descriptor's new place
        moved.close();
        CHECK(operation.number() == -1);
    };
    test::run_on_linux(body());
}

TEST_CASE("a copy of an operation that has ended begins anew on the same descriptor") {
    auto body = []() -> cove::task<> {
        test::socket_pair sockets;
        test::receive first(sockets.near);
        sockets.send("four");
        CHECK(co_await first == 4);
        test::receive second(first);
        CHECK_FALSE(second.has_ended());
        CHECK(second.number() == sockets.near.number());
        sockets.send("three");
        CHECK(co_await second == 5);
    };
    test::run_on_linux(body());
}
