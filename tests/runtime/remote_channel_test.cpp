// A bounded queue that loops and threads share: first in, first out, nothing lost by who leaves, and an orderly end.

#include <cove/runtime/remote_channel.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>
#include <support/threads.hpp>

#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using numbers = cove::remote_channel<int>;

namespace {

cove::task<> sends(numbers channel, int first, int count) {
    for (int i = 0; i < count; ++i) co_await channel.send(first + i);
}

cove::task<> receives(numbers channel, std::vector<int>& into) {
    while (const std::optional<int> item = co_await channel.receive()) into.push_back(*item);
}

// Takes one, and notes who it was.
cove::task<> takes(numbers channel, std::vector<int>& order, int name) {
    const std::optional<int> item = co_await channel.receive();
    if (item) order.push_back(name);
}

cove::task<> puts(numbers channel, int item) { co_await channel.send(item); }

// A loop reads its inbox when it has nothing else to do.
cove::task<> idle() { co_await cove::sleep_for(1s); }

}  // namespace

TEST_CASE("items come out in the order in which they went in, whatever the capacity") {
    for (const std::size_t capacity : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{64}}) {
        auto body = [&]() -> cove::task<> {
            numbers channel(capacity);
            std::vector<int> received;
            cove::task_group group;
            group.spawn(receives(channel, received));
            co_await sends(channel, 0, 500);
            channel.close();
            co_await group.join();
            REQUIRE(received.size() == 500);
            for (int i = 0; i < 500; ++i) CHECK(received[static_cast<std::size_t>(i)] == i);
        };
        test::run_on_linux(body());
    }
}

TEST_CASE("try_send and try_receive never wait") {
    numbers channel(2);
    CHECK_FALSE(channel.try_receive());
    CHECK(channel.try_send(1));
    CHECK(channel.try_send(2));
    CHECK(channel.size() == 2);
    CHECK_FALSE(channel.try_send(3));
    const numbers copy = channel;
    CHECK(copy.size() == 2);
    CHECK(channel.try_receive() == 1);
    CHECK(channel.try_send(3));
    CHECK(channel.try_receive() == 2);
    CHECK(channel.try_receive() == 3);
    CHECK_FALSE(channel.try_receive());
    numbers smallest(0);
    CHECK(smallest.try_send(1));
    CHECK_FALSE(smallest.try_send(2));
    smallest.close();
    CHECK(smallest.try_receive() == 1);
    CHECK_FALSE(smallest.try_send(1));
}

TEST_CASE("the receivers of a loop are served in the order they came") {
    auto body = []() -> cove::task<> {
        numbers channel(8);
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 6; ++name) group.spawn(takes(channel, order, name));
        co_await idle();
        for (int item = 0; item < 3; ++item) CHECK(channel.try_send(std::move(item)));
        co_await idle();
        CHECK(order == std::vector<int>{0, 1, 2});
        for (int item = 3; item < 6; ++item) co_await channel.send(item);
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
    };
    test::run_on_linux(body());
}

TEST_CASE("a receiver that comes later overtakes none of its loop, not even before those have had their turn") {
    auto body = []() -> cove::task<> {
        numbers channel(8);
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 2; ++name) group.spawn(takes(channel, order, name));
        co_await idle();
        CHECK(channel.try_send(0));
        CHECK(channel.try_send(1));
        group.spawn(takes(channel, order, 2));
        group.spawn(takes(channel, order, 3));
        co_await cove::yield();
        co_await cove::yield();
        CHECK(channel.try_send(2));
        CHECK(channel.try_send(3));
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 3});
    };
    test::run_on_linux(body());
}

TEST_CASE("a sender that comes later overtakes none of its loop") {
    auto body = []() -> cove::task<> {
        numbers channel(1);
        co_await channel.send(0);
        cove::task_group group;
        for (int item = 1; item <= 3; ++item) group.spawn(puts(channel, item));
        co_await idle();
        CHECK(channel.try_receive() == 0);
        group.spawn(puts(channel, 4));
        for (int item = 1; item <= 4; ++item) {
            co_await idle();
            CHECK(channel.try_receive() == item);
        }
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("who has had a share of items goes behind the others, and overtakes none of them") {
    auto body = []() -> cove::task<> {
        numbers channel(256);
        for (int i = 0; i < 200; ++i) CHECK(channel.try_send(std::move(i)));
        std::vector<int> order;
        auto takes_all = [&](int name) -> cove::task<> {
            while (co_await channel.receive()) order.push_back(name);
        };
        cove::task_group group;
        for (int name = 0; name < 2; ++name) group.spawn(takes_all(name));
        co_await idle();
        REQUIRE(order.size() == 200);
        int longest = 0;
        int run = 0;
        for (std::size_t i = 0; i < order.size(); ++i) {
            run = i > 0 && order[i] == order[i - 1] ? run + 1 : 1;
            longest = std::max(longest, run);
        }
        CHECK(longest < 100);
        channel.close();
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("who never has to wait lets others have their turn") {
    auto body = []() -> cove::task<> {
        numbers channel(1);
        int passed = 0;
        bool had_turn = false;
        auto other = [&]() -> cove::task<> {
            had_turn = true;
            co_return;
        };
        cove::task_group group;
        group.spawn(other());
        while (!had_turn && passed < 1000) {
            co_await channel.send(passed);
            CHECK(co_await channel.receive() == passed);
            ++passed;
        }
        CHECK(passed < 100);
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("an item of a receiver that is canceled or destroyed before its turn goes to the next") {
    auto body = []() -> cove::task<> {
        numbers channel(4);
        std::vector<int> order;
        cove::task_group stays;
        cove::task_group canceled;
        {
            cove::task_group destroyed;
            canceled.spawn(takes(channel, order, 1));
            destroyed.spawn(takes(channel, order, 2));
            stays.spawn(takes(channel, order, 3));
            co_await idle();
            CHECK(channel.try_send(0));
            canceled.cancel();
        }
        co_await canceled.join();
        co_await stays.join();
        CHECK(order == std::vector<int>{3});
        CHECK(channel.size() == 0);
    };
    test::run_on_linux(body());
}

TEST_CASE("a receiver that was called and then canceled, in its very turn, passes the call on") {
    auto body = []() -> cove::task<> {
        numbers channel(4);
        std::vector<int> order;
        cove::cancel_scope scope;
        // The loop reads its inbox, wakes the first receiver and expires the timer, in this order, before any runs.
        auto first = [&]() -> cove::task<> { co_await scope.run(takes(channel, order, 1)); };
        cove::task_group group;
        group.spawn(first());
        group.spawn(takes(channel, order, 2));
        co_await idle();
        scope.set_deadline(cove::now());
        CHECK(channel.try_send(0));
        co_await group.join();
        CHECK(order == std::vector<int>{2});
    };
    test::run_on_linux(body());
}

TEST_CASE("room that a sender leaves behind goes to the next, and what was not sent is as it was") {
    auto body = []() -> cove::task<> {
        cove::remote_channel<std::unique_ptr<int>> channel(1);
        co_await channel.send(std::make_unique<int>(0));
        auto item = std::make_unique<int>(1);
        CHECK_FALSE(co_await cove::move_on_after(1s, channel.send(std::move(item))));
        REQUIRE(item != nullptr);
        CHECK_FALSE(channel.try_send(std::move(item)));
        REQUIRE(item != nullptr);
        auto other = std::make_unique<int>(2);
        auto sends_item = [&](std::unique_ptr<int>& sent) -> cove::task<> { co_await channel.send(std::move(sent)); };
        cove::task_group canceled;
        cove::task_group stays;
        canceled.spawn(sends_item(item));
        stays.spawn(sends_item(other));
        co_await idle();
        CHECK(*channel.try_receive().value() == 0);
        canceled.cancel();
        co_await canceled.join();
        co_await stays.join();
        CHECK(item != nullptr);
        CHECK(other == nullptr);
        CHECK(*(co_await channel.receive()).value() == 2);
        channel.close();
        CHECK_THROWS_AS(co_await channel.send(std::move(item)), std::system_error);
        CHECK(item != nullptr);
    };
    test::run_on_linux(body());
}

TEST_CASE("close refuses senders, those that wait too, and lets what is there be received") {
    auto body = []() -> cove::task<> {
        numbers channel(2);
        co_await sends(channel, 0, 2);
        std::vector<std::error_code> refused;
        auto is_refused = [&](int item) -> cove::task<> {
            const auto sent = co_await cove::as_result(channel.send(std::move(item)));
            if (!sent) refused.push_back(sent.error());
        };
        cove::task_group group;
        group.spawn(is_refused(2));
        group.spawn(is_refused(3));
        co_await idle();
        channel.close();
        co_await group.join();
        REQUIRE(refused.size() == 2);
        for (const std::error_code& each : refused) CHECK(each == make_error_code(cove::errc::closed));
        CHECK_THROWS_WITH_AS(co_await channel.send(4), doctest::Contains("remote_channel::send"), std::system_error);
        CHECK_FALSE(channel.send_blocking(5));
        CHECK(co_await channel.receive() == 0);
        CHECK(channel.receive_blocking() == 1);
        CHECK_FALSE(channel.receive_blocking());
        CHECK_FALSE(co_await channel.receive());
        channel.close();
    };
    test::run_on_linux(body());
}

TEST_CASE("close ends the wait of every receiver, and of those that come while they still have their turns") {
    auto body = []() -> cove::task<> {
        numbers channel(2);
        std::vector<int> nothing;
        cove::task_group group;
        for (int i = 0; i < 3; ++i) group.spawn(receives(channel, nothing));
        co_await idle();
        channel.close();
        for (int i = 0; i < 3; ++i) group.spawn(receives(channel, nothing));
        auto comes_late = [&]() -> cove::task<> {
            for (int i = 0; i < 100; ++i) {
                CHECK_FALSE(co_await channel.receive());
                if (i % 7 == 0) co_await cove::yield();
            }
        };
        group.spawn(comes_late());
        co_await cove::timeout(1h, group.join());
        CHECK(nothing.empty());
    };
    test::run_on_linux(body());
}

TEST_CASE("a copy of an lvalue is sent, and a waiting copy that is canceled is destroyed") {
    auto body = []() -> cove::task<> {
        cove::remote_channel<std::shared_ptr<int>> channel(1);
        const auto item = std::make_shared<int>(3);
        co_await channel.send(item);
        CHECK(item.use_count() == 2);
        CHECK_FALSE(co_await cove::move_on_after(1s, channel.send(item)));
        CHECK(item.use_count() == 2);
        CHECK(*(co_await channel.receive()).value() == 3);
        CHECK(item.use_count() == 1);
        co_await channel.send(item);
    };
    test::run_on_linux(body());
}

TEST_CASE("what is left in a channel ends with its last handle") {
    auto item = std::make_shared<int>(1);
    {
        std::optional<cove::remote_channel<std::shared_ptr<int>>> copy;
        {
            cove::remote_channel<std::shared_ptr<int>> channel(4);
            copy = channel;
            CHECK(channel.try_send(std::shared_ptr<int>(item)));
            CHECK(channel.send_blocking(item));
        }
        CHECK(item.use_count() == 3);
        auto moved = std::move(*copy);
        copy.reset();
        CHECK(item.use_count() == 3);
    }
    CHECK(item.use_count() == 1);
}

TEST_CASE("waiting allocates only for the first wait of a loop") {
    if (!test::counts_allocations) return;
    auto body = []() -> cove::task<> {
        numbers there(1);
        numbers back(1);
        auto echoes = [&]() -> cove::task<> {
            while (const auto item = co_await there.receive()) co_await back.send(*item);
        };
        cove::task_group group;
        group.spawn(echoes());
        long before = 0;
        for (int i = 0; i < 300; ++i) {
            if (i == 100) before = test::allocations();
            co_await there.send(i);
            if (co_await back.receive() != i) FAIL("out of order");
        }
        CHECK(test::allocations() == before);
        there.close();
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("select takes a receive, which then takes one item or none") {
    auto body = []() -> cove::task<> {
        numbers first(2);
        numbers second(2);
        auto sends_both = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            CHECK(second.try_send(2));
            CHECK(first.try_send(1));
        };
        cove::task_group group;
        group.spawn(sends_both());
        int sum = 0;
        for (int i = 0; i < 2; ++i) {
            const auto won = co_await cove::select(first.receive(), second.receive());
            sum += won.index() == 0 ? *std::get<0>(won) : *std::get<1>(won);
        }
        CHECK(sum == 3);
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::select(first.receive(), second.receive())));
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("a stack says which way who waits") {
    auto body = []() -> cove::task<> {
        numbers empty(1);
        numbers full(1);
        co_await full.send(1);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(takes(empty, order, 1));
        group.spawn(puts(full, 2));
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        CHECK(text.find("remote_channel: receive\n    at remote_channel_test.cpp:") != std::string::npos);
        CHECK(text.find("remote_channel: send\n    at remote_channel_test.cpp:") != std::string::npos);
    };
    test::run_on_linux(body());
}

TEST_CASE("a channel that outlives the loops which waited on it keeps nothing of them") {
    const auto lowest_free_descriptor = [] {
        const int fd = ::dup(STDERR_FILENO);
        ::close(fd);
        return fd;
    };
    numbers channel(1);
    const int before = lowest_free_descriptor();
    for (int i = 0; i < 300; ++i) {
        auto body = [&]() -> cove::task<> { co_await cove::move_on_after(1us, channel.receive()); };
        test::run_real(body());
    }
    CHECK(lowest_free_descriptor() < before + 10);
}

TEST_CASE("a loop that ends on a call passes it to another loop") {
    for (int round = 0; round < 200 / test::scale; ++round) {
        numbers channel(4);
        test::door waiting;
        test::door called;
        std::atomic<int> received{0};
        test::threads threads;
        threads.start_loop([&, channel]() mutable -> cove::task<> {
            std::vector<int> order;
            cove::task_group group;  // destroyed with a receiver that has been called
            group.spawn(takes(channel, order, 1));
            co_await cove::yield();
            waiting.open();
            called.pass();  // so this loop cannot have read its inbox
            if (round % 2 == 0) co_await cove::yield();
        });
        waiting.pass();
        threads.start_loop([&, channel]() mutable -> cove::task<> {
            const std::optional<int> item = co_await channel.receive();
            if (item) ++received;
        });
        if (round % 4 < 2) std::this_thread::yield();
        CHECK(channel.send_blocking(1));
        CHECK(channel.send_blocking(2));
        called.open();
        threads.join();
        CHECK(received.load() == 1);
    }
}
