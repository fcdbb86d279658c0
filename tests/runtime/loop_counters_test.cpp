// What a loop says of its work, to itself and to other threads.

#include <cove/runtime/loop_counters.hpp>

#include <cove/runtime/loop.hpp>
#include <cove/runtime/loop_handle.hpp>
#include <cove/runtime/readiness.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>
#include <support/threads.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <chrono>
#include <optional>

using namespace std::chrono_literals;

TEST_CASE("each counter counts what it is named for") {
    auto body = []() -> cove::task<> {
        const cove::loop& here = cove::loop::current();
        cove::loop_counters before = here.counters();
        for (int i = 0; i < 10; ++i) co_await cove::yield();
        CHECK(here.counters().turns == before.turns + 10);
        CHECK(here.counters().resumes == before.resumes + 10);

        before = here.counters();
        for (int i = 0; i < 3; ++i) co_await cove::sleep_for(1s);
        CHECK(here.counters().timers == before.timers + 3);
        CHECK(here.counters().polls >= before.polls + 3);
        CHECK(here.counters().registrations == before.registrations);

        before = here.counters();
        const int event = ::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        co_await cove::readable(event);
        CHECK(here.counters().registrations == before.registrations + 1);
        CHECK(here.counters().events == before.events + 1);
        ::close(event);

        before = here.counters();
        const auto handle = cove::loop_handle::current();
        for (int i = 0; i < 5; ++i) CHECK(handle.post([] {}));
        co_await cove::sleep_for(1s);
        CHECK(here.counters().posts == before.posts + 5);
    };
    test::run_on_linux(body());
}

TEST_CASE("another thread reads the counters while the loop runs, and after its end the last ones") {
    std::optional<cove::loop_handle> handle;
    test::door made;
    test::door seen;
    test::threads threads;
    threads.start_loop([&]() -> cove::task<> {
        handle = cove::loop_handle::current();
        made.open();
        while (!seen.is_open()) co_await cove::yield();
    });
    made.pass();
    const cove::loop_counters first = handle->counters();
    while (handle->counters().turns < first.turns + 100) {
    }
    CHECK(handle->counters().resumes > first.resumes);
    seen.open();
    threads.join();
    const cove::loop_counters last = handle->counters();
    CHECK(last.turns >= first.turns + 100);
    CHECK(handle->counters().turns == last.turns);
}

TEST_CASE("counters add up, one by one") {
    cove::loop_counters sum{1, 2, 3, 4, 5, 6, 7};
    sum += cove::loop_counters{10, 20, 30, 40, 50, 60, 70};
    CHECK(sum.turns == 11);
    CHECK(sum.resumes == 22);
    CHECK(sum.polls == 33);
    CHECK(sum.events == 44);
    CHECK(sum.posts == 55);
    CHECK(sum.timers == 66);
    CHECK(sum.registrations == 77);
}
