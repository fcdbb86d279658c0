// Items pass in order from the first who sends to the first who waits, and none is ever lost: not by a cancellation,
// not by a frame that is destroyed, not by close().

#include <cove/runtime/channel.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using numbers = std::vector<int>;

// What one receiver got: its name and the item; -1 stands for the end of the channel.
struct receipt {
    receipt(int receiver, int received) noexcept : name(receiver), item(received) {}
    bool operator==(const receipt&) const = default;
    int name;
    int item;
};
using receipts = std::vector<receipt>;

cove::task<> receives(cove::channel<int>& from, receipts& log, int name) {
    const std::optional<int> item = co_await from.receive();
    log.push_back(receipt(name, item.value_or(-1)));
}

cove::task<> receives_all(cove::channel<int>& from, numbers& into) {
    while (const auto item = co_await from.receive()) into.push_back(*item);
}

cove::task<> sends(cove::channel<int>& to, int item, numbers& sent) {
    co_await to.send(item);
    sent.push_back(item);
}

// Sends, and says how that ended: the item itself, or the negative of it where the channel was closed.
cove::task<> tries_to_send(cove::channel<int>& to, int item, numbers& ended) {
    const auto sent = co_await cove::as_result(to.send(item));
    CHECK((sent || sent.error() == cove::errc::closed));
    ended.push_back(sent ? item : -item);
}

cove::task<> in_scope(cove::cancel_scope& scope, cove::task<> work) { co_await scope.run(std::move(work)); }

}  // namespace

TEST_CASE("items arrive in the order in which they were sent, whatever the capacity") {
    for (const std::size_t capacity : {0U, 1U, 3U, 1000U}) {
        CAPTURE(capacity);
        auto body = [capacity]() -> cove::task<> {
            cove::channel<int> items(capacity);
            CHECK(items.capacity() == capacity);
            numbers got;
            cove::task_group group;
            group.spawn(receives_all(items, got));
            for (int i = 0; i < 200; ++i) co_await items.send(i);
            items.close();
            co_await group.join();
            REQUIRE(got.size() == 200);
            for (int i = 0; i < 200; ++i) CHECK(got[static_cast<std::size_t>(i)] == i);
        };
        test::run(body());
    }
}

TEST_CASE("senders wait while there is no room, and are let in one by one, in order") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(2);
        numbers sent;
        cove::task_group group;
        for (int i = 0; i < 5; ++i) group.spawn(sends(items, i, sent));
        co_await cove::sleep_for(1s);
        CHECK(sent == numbers{0, 1});
        CHECK(items.size() == 2);
        for (int i = 0; i < 5; ++i) {
            CHECK(co_await items.receive() == i);
            co_await cove::yield();
            CHECK(sent.size() == std::min<std::size_t>(5, static_cast<std::size_t>(i) + 3));
        }
        CHECK(sent == numbers{0, 1, 2, 3, 4});
        CHECK(items.size() == 0);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("with capacity 0 a sender goes on only once its item has been received") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items;
        numbers sent;
        receipts log;
        cove::task_group group;
        group.spawn(sends(items, 1, sent));
        group.spawn(sends(items, 2, sent));
        co_await cove::sleep_for(1h);
        CHECK(sent.empty());
        CHECK(items.size() == 0);
        CHECK(items.try_receive() == 1);
        co_await cove::yield();
        CHECK(sent == numbers{1});
        group.spawn(receives(items, log, 7));
        co_await group.join();
        CHECK(sent == numbers{1, 2});
        CHECK(log == receipts{{7, 2}});
        CHECK_FALSE(items.try_send(3));
    };
    test::run(body());
}

TEST_CASE("receivers are served in the order in which they came, and an item that is promised cannot be taken") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(3);
        receipts log;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(receives(items, log, name));
        co_await cove::yield();
        CHECK(items.try_send(10));
        CHECK(items.try_send(11));
        CHECK_FALSE(items.try_receive());  // both are for receivers that have been called
        group.spawn(receives(items, log, 3));
        CHECK(items.try_send(12));
        CHECK_FALSE(items.try_send(13));
        co_await cove::yield();
        CHECK(log == receipts{{0, 10}, {1, 11}, {2, 12}});
        CHECK(items.try_send(13));
        co_await group.join();
        CHECK(log.back() == receipt(3, 13));
        CHECK(items.try_send(14));
        CHECK(items.try_receive() == 14);
        CHECK_FALSE(items.try_receive());
    };
    test::run(body());
}

TEST_CASE("a receiver that is canceled after it was called has taken nothing, and the next one is called") {
    for (const std::size_t capacity : {0U, 1U, 4U}) {
        CAPTURE(capacity);
        auto body = [capacity]() -> cove::task<> {
            cove::channel<int> items(capacity);
            numbers sent;
            receipts log;
            cove::cancel_scope first;
            cove::cancel_scope third;
            cove::task_group group;
            group.spawn(in_scope(first, receives(items, log, 0)));
            group.spawn(receives(items, log, 1));
            group.spawn(in_scope(third, receives(items, log, 2)));
            group.spawn(receives(items, log, 3));
            co_await cove::yield();
            cove::task_group senders;
            senders.spawn(sends(items, 10, sent));
            senders.spawn(sends(items, 11, sent));
            auto cancels = [&]() -> cove::task<> {  // in the turn of the sends
                first.cancel();
                third.cancel();
                co_return;
            };
            senders.spawn(cancels);
            co_await senders.join();
            co_await group.join();
            CHECK(sent == numbers{10, 11});
            CHECK(log == receipts{{1, 10}, {3, 11}});
        };
        test::run(body());
    }
}

TEST_CASE("a receiver that is destroyed after it was called leaves the item to the next one, or in the channel") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(2);
        receipts log;
        auto gone = std::make_unique<cove::task_group>();
        gone->spawn(receives(items, log, 0));
        gone->spawn(receives(items, log, 1));
        co_await cove::yield();
        cove::task_group group;
        group.spawn(receives(items, log, 2));
        co_await cove::yield();
        CHECK(items.try_send(10));
        CHECK(items.try_send(11));
        gone.reset();
        co_await group.join();
        CHECK(log == receipts{{2, 10}});
        CHECK(items.size() == 1);
        CHECK(items.try_receive() == 11);
    };
    test::run(body());
}

TEST_CASE("a sender that is canceled or destroyed while it waits has not sent, and the order of the others stays") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(1);
        numbers sent;
        cove::cancel_scope scope;
        auto gone = std::make_unique<cove::task_group>();
        cove::task_group group;
        group.spawn(sends(items, 0, sent));
        group.spawn(sends(items, 1, sent));
        group.spawn(in_scope(scope, sends(items, 2, sent)));
        gone->spawn(sends(items, 3, sent));
        group.spawn(sends(items, 4, sent));
        co_await cove::yield();
        scope.cancel();
        gone.reset();
        for (const int expected : {0, 1, 4}) CHECK(co_await items.receive() == expected);
        co_await group.join();
        CHECK(sent == numbers{0, 1, 4});
        CHECK_FALSE(items.try_receive());
    };
    test::run(body());
}

TEST_CASE("a receiver that was called for a sender which then takes its item back goes on waiting, at its place") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items;
        numbers sent;
        receipts log;
        cove::cancel_scope scope;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(receives(items, log, name));
        co_await cove::yield();
        auto gone = std::make_unique<cove::task_group>();
        auto takes_back = [&]() -> cove::task<> {
            scope.cancel();
            gone.reset();
            co_return;
        };
        cove::task_group senders;
        senders.spawn(in_scope(scope, sends(items, 10, sent)));
        gone->spawn(sends(items, 11, sent));
        senders.spawn(takes_back());
        co_await senders.join();
        co_await cove::sleep_for(1s);
        CHECK(log.empty());
        CHECK(sent.empty());
        for (const int item : {20, 21, 22}) co_await items.send(item);
        co_await group.join();
        CHECK(log == receipts{{0, 20}, {1, 21}, {2, 22}});
    };
    test::run(body());
}

TEST_CASE("a receiver that is canceled in the turn of its sender's cancellation disturbs nobody") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items;
        numbers sent;
        receipts log;
        cove::cancel_scope receiver;
        cove::cancel_scope sender;
        cove::task_group group;
        group.spawn(in_scope(receiver, receives(items, log, 0)));
        group.spawn(receives(items, log, 1));
        co_await cove::yield();
        auto cancels_both = [&]() -> cove::task<> {
            sender.cancel();
            receiver.cancel();
            co_return;
        };
        cove::task_group senders;
        senders.spawn(in_scope(sender, sends(items, 10, sent)));
        senders.spawn(sends(items, 11, sent));
        senders.spawn(cancels_both());
        co_await senders.join();
        co_await group.join();
        CHECK(sent == numbers{11});
        CHECK(log == receipts{{1, 11}});
    };
    test::run(body());
}

TEST_CASE("close lets what is in the channel be received, and then ends every wait") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(2);
        CHECK(items.try_send(1));
        CHECK(items.try_send(2));
        CHECK_FALSE(items.is_closed());
        items.close();
        items.close();
        CHECK(items.is_closed());
        CHECK_FALSE(items.try_send(3));
        CHECK_THROWS_AS(co_await items.send(3), std::system_error);
        const auto refused = co_await cove::as_result(items.send(3));
        CHECK(refused.error() == cove::errc::closed);
        CHECK(items.size() == 2);
        CHECK(co_await items.receive() == 1);
        CHECK(items.try_receive() == 2);
        CHECK_FALSE(items.try_receive());
        CHECK_FALSE(co_await items.receive());
        CHECK_FALSE(co_await items.receive());
    };
    test::run(body());
}

TEST_CASE("close ends the wait of every receiver; those called before it get the items that are left, in order") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(2);
        receipts log;
        cove::cancel_scope scope;
        cove::task_group group;
        group.spawn(receives(items, log, 0));
        group.spawn(in_scope(scope, receives(items, log, 1)));
        for (int name = 2; name < 5; ++name) group.spawn(receives(items, log, name));
        co_await cove::yield();
        CHECK(items.try_send(10));
        CHECK(items.try_send(11));
        items.close();
        scope.cancel();
        group.spawn(receives(items, log, 5));
        co_await group.join();
        CHECK(log == receipts{{0, 10}, {2, 11}, {3, -1}, {4, -1}, {5, -1}});
    };
    test::run(body());
}

TEST_CASE("close refuses the senders that wait, and a receiver already called for one of them finds the end") {
    for (const std::size_t capacity : {0U, 1U}) {
        CAPTURE(capacity);
        auto body = [capacity]() -> cove::task<> {
            cove::channel<int> items(capacity);
            numbers ended;
            receipts log;
            cove::task_group group;
            if (capacity > 0) CHECK(items.try_send(100));
            for (int i = 1; i <= 3; ++i) group.spawn(tries_to_send(items, i, ended));
            co_await cove::yield();
            group.spawn(receives(items, log, 0));
            group.spawn(receives(items, log, 1));
            items.close();
            co_await group.join();
            CHECK(ended == numbers{-1, -2, -3});
            CHECK(log == receipts{{0, capacity > 0 ? 100 : -1}, {1, -1}});
        };
        test::run(body());
    }
}

TEST_CASE("an item given as an rvalue is moved from when it has been sent, and otherwise not") {
    using owned = std::unique_ptr<int>;
    auto body = []() -> cove::task<> {
        cove::channel<owned> items(1);
        auto first = std::make_unique<int>(1);
        auto second = std::make_unique<int>(2);
        co_await items.send(std::move(first));
        CHECK_FALSE(first);
        CHECK_FALSE(items.try_send(std::move(second)));
        REQUIRE(second);
        CHECK_FALSE(co_await cove::move_on_after(1s, items.send(std::move(second))));
        REQUIRE(second);

        auto waits_for_room = [&]() -> cove::task<> {
            const auto sent = co_await cove::as_result(items.send(std::move(second)));
            CHECK(sent.error() == cove::errc::closed);
        };
        cove::task_group group;
        group.spawn(waits_for_room());
        co_await cove::yield();
        items.close();
        co_await group.join();
        REQUIRE(second);
        CHECK(*second == 2);
        const auto refused = co_await cove::as_result(items.send(std::move(second)));
        CHECK(refused.error() == cove::errc::closed);
        CHECK_FALSE(items.try_send(std::move(second)));
        REQUIRE(second);

        const auto got = co_await items.receive();
        REQUIRE(got);
        CHECK(**got == 1);
    };
    test::run(body());
}

TEST_CASE("as_result gives an empty error for what was sent, and an lvalue is copied") {
    auto body = []() -> cove::task<> {
        cove::channel<std::string> items(1);
        const std::string text = "a text that is too long for the small string buffer";
        const auto at_once = co_await cove::as_result(items.send(text));
        CHECK(at_once);
        auto receives_two = [&]() -> cove::task<> {
            for (int i = 0; i < 2; ++i) CHECK(co_await items.receive() == text);
        };
        cove::task_group group;
        group.spawn(receives_two());
        std::string copied = text;
        const auto after_a_wait = co_await cove::as_result(items.send(copied));
        CHECK(after_a_wait);
        CHECK(copied == text);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("in a canceled scope nothing is sent and nothing is received, though it could be at once") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(2);
        CHECK(items.try_send(1));
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(items.send(2)));
        CHECK_FALSE(co_await scope.run(items.receive()));
        CHECK(items.size() == 1);
        CHECK(items.try_receive() == 1);
    };
    test::run(body());
}

TEST_CASE("items that nobody receives are destroyed with the channel") {
    const auto item = std::make_shared<int>(1);
    auto body = [&item]() -> cove::task<> {
        cove::channel<std::shared_ptr<int>> items(3);
        for (int i = 0; i < 5; ++i) {  // so that they go round the ring
            auto sent = item;
            CHECK(items.try_send(std::move(sent)));
            if (i < 2) CHECK(items.try_receive());
        }
        CHECK(item.use_count() == 4);
        co_return;
    };
    test::run(body());
    CHECK(item.use_count() == 1);
}

TEST_CASE("who sends and receives without ever waiting lets the others have their turn") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(1);
        int others_turns = 0;
        bool done = false;
        auto other = [&]() -> cove::task<> {
            while (!done) {
                ++others_turns;
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(other);
        for (int i = 0; i < 1000; ++i) {
            co_await items.send(i);
            CHECK(co_await items.receive() == i);
        }
        done = true;
        CHECK(others_turns >= 20);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("waiting at a channel allocates nothing") {
    auto body = []() -> cove::task<> {
        for (const std::size_t capacity : {0U, 1U}) {
            cove::channel<int> forth(capacity);
            cove::channel<int> back(capacity);
            auto echoes = [&]() -> cove::task<> {
                while (const auto item = co_await forth.receive()) co_await back.send(*item);
            };
            cove::task_group group;
            group.spawn(echoes);
            long before = 0;
            int wrong = 0;
            for (int i = 0; i < 1000; ++i) {
                if (i == 100) before = test::allocations();
                co_await forth.send(i);
                const auto item = co_await back.receive();
                if (item != i) ++wrong;
            }
            if (test::counts_allocations) CHECK(test::allocations() == before);
            CHECK(wrong == 0);
            forth.close();
            co_await group.join();
        }
    };
    test::run(body());
}

TEST_CASE("stacks say who waits at a channel, and for what") {
    auto body = []() -> cove::task<> {
        cove::channel<int> empty;
        cove::channel<int> full;
        numbers sent;
        receipts log;
        cove::task_group group;
        group.spawn(receives(empty, log, 0));
        group.spawn(sends(full, 1, sent));
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        CHECK(text.find("channel: receive\n") != std::string::npos);
        CHECK(text.find("channel: send\n") != std::string::npos);
        empty.close();
        CHECK(full.try_receive() == 1);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE(
    "whoever is canceled or destroyed at random, each item that was sent is received once, in its sender's order") {
    // A fixed sequence, so that a failure can be repeated.
    std::uint64_t state = 20240611;
    auto random = [&state](int below) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        return static_cast<int>((state >> 33) % static_cast<std::uint64_t>(below));
    };
    auto body = [&]() -> cove::task<> {
        for (int round = 0; round < 300; ++round) {
            cove::channel<int> items(static_cast<std::size_t>(random(3)));
            numbers sent;
            receipts log;
            std::vector<std::unique_ptr<cove::task_group>> groups;
            auto number = 0;
            for (int step = 0; step < 60; ++step) {
                switch (random(8)) {
                    case 0:
                    case 1:
                        groups.push_back(std::make_unique<cove::task_group>());
                        groups.back()->spawn(sends(items, number++, sent));
                        break;
                    case 2:
                    case 3:
                        groups.push_back(std::make_unique<cove::task_group>());
                        groups.back()->spawn(receives(items, log, 0));
                        break;
                    case 4:
                        if (!groups.empty())
                            groups[static_cast<std::size_t>(random(static_cast<int>(groups.size())))]->cancel();
                        break;
                    case 5:
                        if (!groups.empty())
                            groups[static_cast<std::size_t>(random(static_cast<int>(groups.size())))].reset(
                                new cove::task_group);
                        break;
                    default: co_await cove::yield();
                }
            }
            co_await cove::sleep_for(1s);
            while (const auto item = items.try_receive()) {
                log.push_back(receipt(0, *item));
                co_await cove::yield();
            }
            // A sender that was destroyed or canceled after its item was taken cannot say so any more.
            int last = -1;
            bool in_order = true;
            for (const receipt& each : log) {
                in_order = in_order && each.item > last;
                last = each.item;
            }
            REQUIRE(in_order);
            for (const int item : sent) {
                int count = 0;
                for (const receipt& each : log) count += each.item == item ? 1 : 0;
                REQUIRE(count == 1);
            }
        }
    };
    test::run(body());
}
