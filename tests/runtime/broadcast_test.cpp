// Every subscriber gets every message, in order; who is too slow is told exactly how many it missed.

#include <cove/runtime/broadcast.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using numbers = cove::broadcast<int>;

// Collects what it receives; -1 for the end. Counts what it missed.
cove::task<> receives(numbers& source, std::vector<int>& received, std::uint64_t& missed) {
    numbers::subscription place(source);
    while (const auto message = co_await place.receive()) {
        received.push_back(message->value);
        missed += message->missed;
    }
    received.push_back(-1);
}

// A value, and how many of its copies are still to throw.
struct stubborn {
    stubborn(int number, int& throws) : value(number), left(&throws) {}
    stubborn(stubborn&&) noexcept = default;
    stubborn(const stubborn& other) : value(other.value), left(other.left) {
        if (*left > 0) {
            --*left;
            throw std::runtime_error("copy");
        }
    }

    int value;
    int* left;
};

// Sends a last message when it is dropped; that one does not.
struct says_farewell {
    says_farewell(cove::broadcast<says_farewell>& to, int number) : source(&to), value(number) {}
    says_farewell(says_farewell&& other) noexcept : source(std::exchange(other.source, nullptr)), value(other.value) {}
    says_farewell(const says_farewell& other) noexcept : value(other.value) {}
    ~says_farewell() {
        if (source == nullptr) return;
        cove::broadcast<says_farewell>& to = *std::exchange(source, nullptr);
        says_farewell last(to, value + 100);
        last.source = nullptr;
        to.send(std::move(last));
    }

    cove::broadcast<says_farewell>* source = nullptr;
    int value;
};

}  // namespace

TEST_CASE("every subscriber gets every message, in order, and the end") {
    auto body = []() -> cove::task<> {
        numbers source(4);
        std::vector<int> first;
        std::vector<int> second;
        std::uint64_t missed = 0;
        cove::task_group group;
        group.spawn(receives(source, first, missed));
        group.spawn(receives(source, second, missed));
        co_await cove::yield();
        for (int value = 0; value < 10; ++value) {
            source.send(value);
            CHECK(first.size() == static_cast<std::size_t>(value));  // sending runs nobody
            co_await cove::yield();
        }
        source.close();
        co_await group.join();
        CHECK(first == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1});
        CHECK(second == first);
        CHECK(missed == 0);
    };
    test::run(body());
}

TEST_CASE("a subscription begins with the next message, and a copy where the other stands") {
    auto body = []() -> cove::task<> {
        numbers source(4);
        source.send(1);
        numbers::subscription place(source);
        CHECK(place.pending() == 0);
        source.send(2);
        source.send(3);
        CHECK(place.pending() == 2);
        CHECK((co_await place.receive())->value == 2);
        numbers::subscription copy = place;
        CHECK((co_await place.receive())->value == 3);
        CHECK(place.pending() == 0);
        CHECK((co_await copy.receive())->value == 3);
        CHECK_FALSE(co_await cove::move_on_after(1s, copy.receive()));
    };
    test::run(body());
}

TEST_CASE("the count of what was missed is exact, whatever the capacity and the lead") {
    auto body = []() -> cove::task<> {
        for (std::size_t capacity = 1; capacity <= 4; ++capacity) {
            for (int lead = 0; lead <= 10; ++lead) {
                CAPTURE(capacity);
                CAPTURE(lead);
                numbers source(capacity);
                for (int value = -3; value < 0; ++value) source.send(value);
                numbers::subscription place(source);
                for (int value = 0; value < lead; ++value) source.send(value);
                CHECK(place.pending() == static_cast<std::uint64_t>(lead));
                int next = 0;
                while (place.pending() > 0) {
                    const auto message = co_await place.receive();
                    REQUIRE(message);
                    const int room = static_cast<int>(capacity);
                    const int expected = next == 0 && lead > room ? lead - room : 0;
                    CHECK(message->missed == static_cast<std::uint64_t>(expected));
                    CHECK(message->value == next + expected);
                    next += expected + 1;
                }
                CHECK(next == lead);
            }
        }
    };
    test::run(body());
}

TEST_CASE("what was received and what was missed add up to what was sent, at every pace") {
    auto body = []() -> cove::task<> {
        numbers source(3);
        std::vector<int> received[3];
        std::uint64_t missed[3] = {0, 0, 0};
        auto receives_slowly = [&](int name) -> cove::task<> {
            numbers::subscription place(source);
            while (const auto message = co_await place.receive()) {
                const int before = received[name].empty() ? -1 : received[name].back();
                CHECK(message->value == before + 1 + static_cast<int>(message->missed));
                received[name].push_back(message->value);
                missed[name] += message->missed;
                co_await cove::sleep_for(700ms * name);
            }
        };
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(receives_slowly(name));
        co_await cove::yield();
        for (int value = 0; value < 100; ++value) {
            source.send(value);
            if (value % 7 != 0) co_await cove::sleep_for(100ms);
        }
        source.close();
        co_await group.join();
        for (int name = 0; name < 3; ++name) CHECK(received[name].size() + missed[name] == 100);
        CHECK(missed[0] == 0);
        CHECK(missed[2] > missed[1]);
    };
    test::run(body());
}

TEST_CASE("who was called for a message that is dropped before its turn gets the oldest that is left") {
    auto body = []() -> cove::task<> {
        numbers source(2);
        std::vector<int> received;
        std::uint64_t missed = 0;
        cove::task_group group;
        group.spawn(receives(source, received, missed));
        co_await cove::yield();
        for (int value = 0; value < 5; ++value) source.send(value);
        source.close();
        co_await group.join();
        CHECK(received == std::vector<int>{3, 4, -1});
        CHECK(missed == 3);
    };
    test::run(body());
}

TEST_CASE("a closed broadcast gives what is in the ring, and then the end, again and again") {
    auto body = []() -> cove::task<> {
        numbers source(2);
        numbers::subscription place(source);
        for (int value = 0; value < 3; ++value) source.send(value);
        source.close();
        source.close();
        const auto first = co_await place.receive();
        REQUIRE(first);
        CHECK(first->value == 1);
        CHECK(first->missed == 1);
        CHECK((co_await place.receive())->value == 2);
        CHECK_FALSE(co_await place.receive());
        CHECK_FALSE(co_await place.receive());
        numbers::subscription late(source);
        CHECK_FALSE(co_await late.receive());
    };
    test::run(body());
}

TEST_CASE("a broadcast of no capacity keeps one message") {
    auto body = []() -> cove::task<> {
        numbers source(0);
        numbers::subscription place(source);
        source.send(1);
        source.send(2);
        const auto message = co_await place.receive();
        REQUIRE(message);
        CHECK(message->value == 2);
        CHECK(message->missed == 1);
    };
    test::run(body());
}

TEST_CASE("a message whose copy throws can be received again, and counts what was missed since") {
    auto body = []() -> cove::task<> {
        int throws = 0;
        cove::broadcast<stubborn> source(2);
        cove::broadcast<stubborn>::subscription place(source);
        for (int value = 0; value < 3; ++value) source.send(stubborn(value, throws));
        throws = 2;
        CHECK_THROWS_WITH(co_await place.receive(), "copy");
        CHECK(place.pending() == 3);
        CHECK_THROWS_WITH(co_await place.receive(), "copy");
        {
            const auto again = co_await place.receive();
            REQUIRE(again);
            CHECK(again->value.value == 1);
            CHECK(again->missed == 1);
        }
        throws = 1;
        CHECK_THROWS_WITH(co_await place.receive(), "copy");
        for (int value = 3; value < 6; ++value) source.send(stubborn(value, throws));
        const auto later = co_await place.receive();
        REQUIRE(later);
        CHECK(later->value.value == 4);
        CHECK(later->missed == 2);
    };
    test::run(body());
}

TEST_CASE("what may not be copied is shared, and released when nobody can receive it any more") {
    auto body = []() -> cove::task<> {
        using shared = std::shared_ptr<const std::unique_ptr<int>>;
        std::weak_ptr<const std::unique_ptr<int>> sent;
        {
            cove::broadcast<shared> source(1);
            cove::broadcast<shared>::subscription first(source);
            cove::broadcast<shared>::subscription second(source);
            {
                shared message = std::make_shared<const std::unique_ptr<int>>(std::make_unique<int>(1));
                sent = message;
                source.send(std::move(message));
            }
            const auto one = co_await first.receive();
            const auto other = co_await second.receive();
            REQUIRE(one);
            REQUIRE(other);
            CHECK(one->value == other->value);
            CHECK(sent.use_count() == 3);
            source.send(nullptr);
            CHECK(sent.use_count() == 2);
        }
        CHECK(sent.expired());
    };
    test::run(body());
}

TEST_CASE("a message may send another when it is dropped") {
    auto body = []() -> cove::task<> {
        cove::broadcast<says_farewell> source(2);
        cove::broadcast<says_farewell>::subscription place(source);
        for (int value = 0; value < 3; ++value) source.send(says_farewell(source, value));
        // The first was dropped for the third, and its farewell dropped the second, whose farewell dropped the third.
        std::vector<int> received;
        std::uint64_t missed = 0;
        const std::uint64_t sent = place.pending();
        while (place.pending() > 0) {
            const auto message = co_await place.receive();
            REQUIRE(message);
            received.push_back(message->value.value);
            missed += message->missed;
        }
        CHECK(received.size() == 2);
        CHECK(received.size() + missed == sent);
        CHECK(received.back() == 102);
    };
    test::run(body());
}

TEST_CASE("subscribers go on in the order in which they began to wait") {
    auto body = []() -> cove::task<> {
        numbers source(4);
        std::vector<int> order;
        auto waits = [&](int name) -> cove::task<> {
            numbers::subscription place(source);
            co_await place.receive();
            order.push_back(name);
        };
        cove::task_group group;
        for (int name = 0; name < 4; ++name) group.spawn(waits(name));
        co_await cove::yield();
        source.send(1);
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 3});
    };
    test::run(body());
}

TEST_CASE("a canceled receive takes nothing, before a message came and though one is there") {
    auto body = []() -> cove::task<> {
        numbers source(4);
        numbers::subscription place(source);
        CHECK_FALSE(co_await cove::move_on_after(1s, place.receive()));
        source.send(1);
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(place.receive()));
        CHECK(place.pending() == 1);
        CHECK((co_await place.receive())->value == 1);
    };
    test::run(body());
}

TEST_CASE("a receive that was called before the cancellation gives its message") {
    auto body = []() -> cove::task<> {
        numbers source(4);
        numbers::subscription place(source);
        std::vector<int> received;
        auto receives_once = [&]() -> cove::task<> {
            const auto message = co_await place.receive();
            REQUIRE(message);
            received.push_back(message->value);
        };
        cove::task_group group;
        group.spawn(receives_once());
        co_await cove::yield();
        source.send(1);
        group.cancel();
        co_await group.join();
        CHECK(received == std::vector<int>{1});
    };
    test::run(body());
}

TEST_CASE("a receive that is destroyed, waiting or called, takes nothing") {
    auto body = []() -> cove::task<> {
        numbers source(4);
        numbers::subscription place(source);
        auto receives_once = [&]() -> cove::task<> { co_await place.receive(); };
        {
            cove::task_group dropped;
            dropped.spawn(receives_once());
            co_await cove::yield();
        }
        {
            cove::task_group dropped;
            dropped.spawn(receives_once());
            co_await cove::yield();
            source.send(1);
        }
        CHECK(place.pending() == 1);
        CHECK((co_await place.receive())->value == 1);
    };
    test::run(body());
}

TEST_CASE("a subscriber that always finds a message lets the others have their turns") {
    auto body = []() -> cove::task<> {
        numbers source(1000);
        numbers::subscription place(source);
        for (int value = 0; value < 1000; ++value) source.send(value);
        bool had_turn = false;
        int received = 0;
        auto never_suspends = [&]() -> cove::task<> {
            for (; !had_turn && place.pending() > 0; ++received) co_await place.receive();
        };
        auto other = [&]() -> cove::task<> {
            had_turn = true;
            co_return;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(received > 1);
        CHECK(received <= 64);
    };
    test::run(body());
}

TEST_CASE("sending and receiving allocate nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        numbers source(4);
        auto sends = [&]() -> cove::task<> {
            for (int value = 0;; ++value) {
                co_await cove::yield();
                source.send(value);
            }
        };
        cove::task_group group;
        group.spawn(sends());
        numbers::subscription place(source);
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            co_await place.receive();
        }
        CHECK(test::allocations() == start);
    };
    test::run(body());
}

TEST_CASE("a broadcast for which there is no memory throws bad_alloc" * doctest::skip(!test::counts_allocations)) {
    const auto make = [] {
        const numbers made(4);
        test::escape(&made);
    };
    test::fail_allocation_after(0);
    CHECK_THROWS_AS(make(), std::bad_alloc);
    test::fail_allocation_after(-1);
}

TEST_CASE("a stack says that a broadcast is waited for") {
    auto body = []() -> cove::task<> {
        numbers source(4);
        std::vector<int> received;
        std::uint64_t missed = 0;
        cove::task_group group;
        group.spawn(receives(source, received, missed));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("broadcast: receive\n    at broadcast_test.cpp:") != std::string::npos);
        source.close();
        co_await group.join();
    };
    test::run(body());
}
