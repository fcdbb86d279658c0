// A wait under a mutex: it is held again however the wait ends, and no notification gets lost on the way.

#include <cove/runtime/condition.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/mutex.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct monitor {
    cove::mutex lock;
    cove::condition changed;
    std::vector<int> order;
    int canceled = 0;
    bool was_held = true;  // by whoever came back from a wait
};

// Waits once; says by its name that it was notified, and counts if it was canceled.
cove::task<> waits(monitor& shared, int name) {
    cove::mutex::guard held = co_await shared.lock.lock();
    try {
        co_await shared.changed.wait(held);
        shared.order.push_back(name);
    } catch (const cove::canceled&) {
        ++shared.canceled;
    }
    shared.was_held = shared.was_held && held && shared.lock.is_locked();
}

}  // namespace

TEST_CASE("a wait unlocks the mutex, and holds it again when it returns") {
    auto body = []() -> cove::task<> {
        monitor shared;
        cove::task_group group;
        group.spawn(waits(shared, 0));
        co_await cove::yield();
        CHECK_FALSE(shared.lock.is_locked());
        co_await cove::sleep_for(1h);
        CHECK(shared.order.empty());
        shared.changed.notify_one();
        CHECK(shared.lock.is_locked());  // handed over at once
        CHECK(shared.order.empty());     // and nobody has run
        co_await group.join();
        CHECK(shared.order == std::vector<int>{0});
        CHECK(shared.was_held);
        CHECK_FALSE(shared.lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("notify_one has the one that has waited longest go on") {
    auto body = []() -> cove::task<> {
        monitor shared;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(waits(shared, name));
        co_await cove::sleep_for(1s);
        for (int name = 0; name < 3; ++name) {
            shared.changed.notify_one();
            co_await cove::sleep_for(1s);
            REQUIRE(shared.order.size() == static_cast<unsigned>(name) + 1);
        }
        co_await group.join();
        CHECK(shared.order == std::vector<int>{0, 1, 2});
    };
    test::run(body());
}

TEST_CASE("notify_all has all go on, in order, one at a time, behind those who wait for the mutex") {
    auto body = []() -> cove::task<> {
        monitor shared;
        int inside = 0;
        bool was_alone = true;
        auto works = [&](int name, bool waiting) -> cove::task<> {
            cove::mutex::guard held = co_await shared.lock.lock();
            if (waiting) co_await shared.changed.wait(held);
            was_alone = was_alone && ++inside == 1;
            shared.order.push_back(name);
            co_await cove::sleep_for(1s);
            --inside;
        };
        cove::task_group group;
        for (int name = 1; name <= 3; ++name) group.spawn(works(name, true));
        co_await cove::sleep_for(1s);
        {
            const cove::mutex::guard held = co_await shared.lock.lock();
            group.spawn(works(0, false));
            co_await cove::yield();
            shared.changed.notify_all();
            co_await cove::sleep_for(1h);
            CHECK(shared.order.empty());  // nobody gets the mutex from under us
        }
        co_await group.join();
        CHECK(shared.order == std::vector<int>{0, 1, 2, 3});
        CHECK(was_alone);
    };
    test::run(body());
}

TEST_CASE("notify reaches nobody who comes later, and needs nobody who waits") {
    auto body = []() -> cove::task<> {
        monitor shared;
        shared.changed.notify_one();
        shared.changed.notify_all();
        cove::mutex::guard held = co_await shared.lock.lock();
        CHECK_FALSE(co_await cove::move_on_after(1s, shared.changed.wait(held)));
        CHECK(held);
        CHECK(shared.lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("a wait that is canceled while the mutex is free has it before it throws") {
    auto body = []() -> cove::task<> {
        monitor shared;
        cove::task_group group;
        group.spawn(waits(shared, 0));
        co_await cove::yield();
        group.cancel();
        CHECK(shared.lock.is_locked());
        co_await group.join();
        CHECK(shared.canceled == 1);
        CHECK(shared.was_held);
        CHECK_FALSE(shared.lock.is_locked());
        shared.changed.notify_one();
        CHECK_FALSE(shared.lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("a wait that is canceled while the mutex is held waits for it, in line, before it throws") {
    auto body = []() -> cove::task<> {
        monitor shared;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { co_await scope.run(waits(shared, 0)); };
        auto locks = [&](int name) -> cove::task<> {
            const cove::mutex::guard held = co_await shared.lock.lock();
            shared.order.push_back(name);
            CHECK(shared.canceled == (name == 1 ? 0 : 1));
        };
        cove::task_group group;
        group.spawn(in_scope());
        co_await cove::yield();
        cove::mutex::guard held = co_await shared.lock.lock();
        group.spawn(locks(1));
        co_await cove::yield();
        scope.cancel();
        scope.cancel();
        group.spawn(locks(2));
        co_await cove::sleep_for(1h);
        CHECK(shared.canceled == 0);
        held.release();
        co_await group.join();
        CHECK(shared.canceled == 1);
        CHECK(shared.was_held);
        CHECK(shared.order == std::vector<int>{1, 2});
    };
    test::run(body());
}

TEST_CASE("who was notified before it was canceled returns, with the mutex free or held") {
    auto body = []() -> cove::task<> {
        for (const bool is_held : {false, true}) {
            CAPTURE(is_held);
            monitor shared;
            cove::task_group group;
            group.spawn(waits(shared, 0));
            co_await cove::yield();
            cove::mutex::guard held;
            if (is_held) held = shared.lock.try_lock();
            shared.changed.notify_one();
            group.cancel();
            held.release();
            co_await group.join();
            CHECK(shared.order == std::vector<int>{0});
            CHECK(shared.canceled == 0);
            CHECK(shared.was_held);
        }
    };
    test::run(body());
}

TEST_CASE("who was canceled before takes no notification from the others") {
    auto body = []() -> cove::task<> {
        for (const bool is_held : {false, true}) {
            CAPTURE(is_held);
            monitor shared;
            cove::task_group canceled;
            canceled.spawn(waits(shared, 0));
            co_await cove::yield();
            cove::task_group group;
            group.spawn(waits(shared, 1));
            co_await cove::yield();
            cove::mutex::guard held;
            if (is_held) held = shared.lock.try_lock();
            canceled.cancel();
            shared.changed.notify_one();
            held.release();
            co_await canceled.join();
            co_await group.join();
            CHECK(shared.canceled == 1);
            CHECK(shared.order == std::vector<int>{1});
            CHECK(shared.was_held);
        }
    };
    test::run(body());
}

TEST_CASE("in a canceled scope a wait throws at once and never lets go of the mutex") {
    auto body = []() -> cove::task<> {
        monitor shared;
        cove::mutex::guard held = co_await shared.lock.lock();
        cove::task_group group;
        bool had_lock = false;
        auto wants_lock = [&]() -> cove::task<> {
            const cove::mutex::guard mine = co_await shared.lock.lock();
            had_lock = true;
        };
        group.spawn(wants_lock());
        co_await cove::yield();
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(shared.changed.wait(held)));
        CHECK(held);
        CHECK_FALSE(had_lock);
        held.release();
        co_await group.join();
        CHECK(had_lock);
    };
    test::run(body());
}

TEST_CASE("a time-out leaves the mutex held") {
    auto body = []() -> cove::task<> {
        monitor shared;
        cove::mutex::guard held = co_await shared.lock.lock();
        const cove::time_point start = cove::now();
        CHECK_THROWS_AS(co_await cove::timeout(1h, shared.changed.wait(held)), cove::timed_out);
        CHECK(held);
        CHECK(shared.lock.is_locked());
        CHECK(cove::now() - start >= 1h);
    };
    test::run(body());
}

TEST_CASE("a notified waiter that is destroyed passes the notification on, and the mutex") {
    auto body = []() -> cove::task<> {
        for (const bool is_held : {false, true}) {
            CAPTURE(is_held);
            monitor shared;
            auto dropped = std::make_unique<cove::task_group>();
            dropped->spawn(waits(shared, 0));
            co_await cove::yield();
            cove::task_group group;
            group.spawn(waits(shared, 1));
            group.spawn(waits(shared, 2));
            co_await cove::yield();
            cove::mutex::guard held;
            if (is_held) held = shared.lock.try_lock();
            shared.changed.notify_one();
            dropped.reset();
            held.release();
            co_await cove::sleep_for(1s);
            CHECK(shared.order == std::vector<int>{1});
            CHECK_FALSE(shared.lock.is_locked());
            shared.changed.notify_one();
            co_await group.join();
            CHECK(shared.order == std::vector<int>{1, 2});
            CHECK(shared.was_held);
        }
    };
    test::run(body());
}

TEST_CASE("a waiter that is destroyed unnotified, or canceled, passes on the mutex and no notification") {
    auto body = []() -> cove::task<> {
        for (const bool was_canceled : {false, true}) {
            CAPTURE(was_canceled);
            monitor shared;
            auto dropped = std::make_unique<cove::task_group>();
            dropped->spawn(waits(shared, 0));
            co_await cove::yield();
            cove::task_group group;
            group.spawn(waits(shared, 1));
            co_await cove::yield();
            if (was_canceled) dropped->cancel();
            CHECK(shared.lock.is_locked() == was_canceled);
            dropped.reset();
            CHECK_FALSE(shared.lock.is_locked());
            co_await cove::sleep_for(1s);
            CHECK(shared.order.empty());
            shared.changed.notify_all();
            co_await group.join();
            CHECK(shared.order == std::vector<int>{1});
        }
    };
    test::run(body());
}

TEST_CASE("a group whose waiters are destroyed in every state leaves the mutex free") {
    auto body = []() -> cove::task<> {
        monitor shared;
        {
            cove::task_group dropped;
            for (int name = 0; name < 6; ++name) dropped.spawn(waits(shared, name));
            co_await cove::sleep_for(1s);
            shared.changed.notify_one();
            shared.changed.notify_one();
            dropped.cancel();
            shared.changed.notify_all();
        }
        CHECK_FALSE(shared.lock.is_locked());
        co_await cove::sleep_for(1s);
        CHECK(shared.order.empty());
        CHECK(shared.canceled == 0);
    };
    test::run(body());
}

TEST_CASE("producers and consumers that are canceled at any time lose no item") {
    auto body = []() -> cove::task<> {
        monitor shared;
        int items = 0;
        int taken = 0;
        auto consumes = [&]() -> cove::task<> {
            for (;;) {
                cove::mutex::guard held = co_await shared.lock.lock();
                while (items == 0) co_await shared.changed.wait(held);
                --items;
                ++taken;
            }
        };
        auto dies_early = [&](cove::duration length) -> cove::task<> {
            co_await cove::move_on_after(length, consumes());
        };
        cove::task_group group;
        for (int i = 0; i < 20; ++i) group.spawn(dies_early(1s * (i % 5)));
        cove::task_group steady;
        steady.spawn(consumes());
        for (int i = 0; i < 100; ++i) {
            {
                const cove::mutex::guard held = co_await shared.lock.lock();
                ++items;
                shared.changed.notify_one();
            }
            co_await cove::sleep_for(100ms);
            CHECK(taken == i + 1);
        }
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("one operation can wait again, and a guard that was moved into place is filled again") {
    auto body = []() -> cove::task<> {
        monitor shared;
        int rounds = 0;
        auto waits_again = [&]() -> cove::task<> {
            cove::mutex::guard held = co_await shared.lock.lock();
            auto wait = shared.changed.wait(held);
            for (; rounds < 3; ++rounds) {
                co_await wait;
                CHECK(held);
            }
        };
        cove::task_group group;
        group.spawn(waits_again());
        for (int i = 0; i < 3; ++i) {
            co_await cove::sleep_for(1s);
            CHECK(rounds == i);
            shared.changed.notify_all();
        }
        co_await group.join();
        CHECK(rounds == 3);
        CHECK_FALSE(shared.lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("a condition cannot be selected: it unlocks when it begins") {
    CHECK_FALSE(cove::detail::selectable<cove::condition::operation>);
}

TEST_CASE("waiting for a condition allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        monitor shared;
        bool done = false;
        auto notifies = [&]() -> cove::task<> {
            while (!done) {
                shared.changed.notify_one();
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(notifies());
        cove::mutex::guard held = co_await shared.lock.lock();
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            co_await shared.changed.wait(held);
        }
        CHECK(test::allocations() == start);
        done = true;
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a stack shows the condition, and the mutex once it was notified") {
    auto body = []() -> cove::task<> {
        monitor shared;
        cove::task_group group;
        group.spawn(waits(shared, 0));
        co_await cove::yield();
        cove::mutex::guard held = co_await shared.lock.lock();
        CHECK(cove::async_stacks().find("condition\n    at condition_test.cpp:") != std::string::npos);
        shared.changed.notify_one();
        CHECK(cove::async_stacks().find("condition\n    at") == std::string::npos);
        CHECK(cove::async_stacks().find("mutex\n    at condition_test.cpp:") != std::string::npos);
        held.release();
        co_await group.join();
    };
    test::run(body());
}
