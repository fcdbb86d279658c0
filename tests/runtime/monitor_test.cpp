// One thread at a time inside, and conditions that keep their deadlines, however odd.

#include <cove/runtime/detail/monitor.hpp>

#include <cove/runtime/clock.hpp>

#include <doctest/doctest.h>
#include <support/threads.hpp>

#include <chrono>

using namespace std::chrono_literals;
using cove::detail::monitor;

TEST_CASE("one thread at a time holds the lock") {
    static constexpr int rounds = 100'000 / test::scale;
    monitor guarded;
    int count = 0;
    test::threads threads;
    for (int i = 0; i < 4; ++i) {
        threads.start([&] {
            for (int round = 0; round < rounds; ++round) {
                const monitor::lock guard(guarded);
                ++count;
            }
        });
    }
    threads.join();
    CHECK(count == 4 * rounds);
}

TEST_CASE("who lets go of the lock for a while lets another one in, and has it again afterwards") {
    monitor guarded;
    test::door inside;
    int state = 0;
    test::threads threads;
    const monitor::lock guard(guarded);
    threads.start([&] {
        inside.pass();
        const monitor::lock other(guarded);
        state = 1;
    });
    while (state == 0) {
        const monitor::unlock without(guarded);
        inside.open();
    }
    CHECK(state == 1);
    state = 2;  // a race, unless the lock is held again
    {
        const monitor::unlock without(guarded);
        threads.join();
    }
}

TEST_CASE("each wake_one lets one more go") {
    monitor guarded;
    monitor::condition changed;
    int tokens = 0;
    int waiting = 0;
    int through = 0;
    test::threads threads;
    for (int i = 0; i < 3; ++i) {
        threads.start([&] {
            const monitor::lock guard(guarded);
            ++waiting;
            while (tokens == 0) changed.wait(guarded);
            --tokens;
            ++through;
        });
    }
    for (bool all = false; !all;) {
        const monitor::lock guard(guarded);
        all = waiting == 3;
    }
    for (int i = 0; i < 3; ++i) {
        const monitor::lock guard(guarded);
        ++tokens;
        changed.wake_one();
    }
    threads.join();
    CHECK(through == 3);
    CHECK(tokens == 0);
}

TEST_CASE("wake_all lets all go who wait") {
    monitor guarded;
    monitor::condition changed;
    bool open = false;
    int waiting = 0;
    test::threads threads;
    for (int i = 0; i < 4; ++i) {
        threads.start([&] {
            const monitor::lock guard(guarded);
            ++waiting;
            while (!open) changed.wait(guarded);
            --waiting;
        });
    }
    for (bool all = false; !all;) {
        const monitor::lock guard(guarded);
        all = waiting == 4;
    }
    {
        const monitor::lock guard(guarded);
        open = true;
        changed.wake_all();
    }
    threads.join();
    CHECK(waiting == 0);
}

TEST_CASE("two threads that take turns lose no wake-up") {
    static constexpr int rounds = 20'000 / test::scale;
    monitor guarded;
    monitor::condition changed[2];
    int turn = 0;
    int made = 0;
    test::threads threads;
    for (int mine = 0; mine < 2; ++mine) {
        threads.start([&, mine] {
            const monitor::lock guard(guarded);
            for (int round = 0; round < rounds; ++round) {
                while (turn != mine) changed[mine].wait(guarded);
                turn = 1 - mine;
                ++made;
                changed[turn].wake_one();
            }
        });
    }
    threads.join();
    CHECK(made == 2 * rounds);
}

TEST_CASE("a wait ends at its deadline by the monotonic clock, and not before") {
    monitor guarded;
    monitor::condition changed;
    const monitor::lock guard(guarded);
    const cove::time_point deadline = cove::now() + 2ms;
    while (changed.wait_until(guarded, deadline)) CHECK(cove::now() < deadline + 30s);
    CHECK(cove::now() >= deadline);
}

TEST_CASE("a deadline that is past is over at once, however long it is past") {
    monitor guarded;
    monitor::condition changed;
    const monitor::lock guard(guarded);
    for (const cove::time_point past : {cove::now(), cove::now() - 1s, cove::time_point(), cove::time_point(-1ns),
                                        cove::now() - 100'000h, cove::time_point::min()}) {
        CAPTURE(past.time_since_epoch().count());
        CHECK_FALSE(changed.wait_until(guarded, past));
    }
}

TEST_CASE("a wait until the end of time is woken") {
    monitor guarded;
    monitor::condition changed;
    bool open = false;
    bool waiting = false;
    bool timed_out = false;
    test::threads threads;
    threads.start([&] {
        const monitor::lock guard(guarded);
        waiting = true;
        while (!open && !timed_out) timed_out = !changed.wait_until(guarded, cove::time_point::max());
    });
    for (bool there = false; !there;) {
        const monitor::lock guard(guarded);
        there = waiting;
    }
    {
        const monitor::lock guard(guarded);
        CHECK_FALSE(timed_out);
        open = true;
        changed.wake_one();
    }
    threads.join();
    CHECK_FALSE(timed_out);
}
