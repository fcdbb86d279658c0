#include <cove/runtime/stepped_run.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/sleep.hpp>

#include <support/test_kernel.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <stdexcept>

using cove::stepped_run;
using cove::task;
using namespace std::chrono_literals;

namespace {

task<> yield_times(int times, int& done) {
    for (; done < times; ++done) co_await cove::yield();
}

}  // namespace

TEST_CASE("two runs take turns on one thread, each a turn at a time") {
    test::test_kernel os;
    stepped_run first(os, false), second(os, false);
    int first_done = 0, second_done = 0;
    first.start([&] { return yield_times(3, first_done); });
    second.start([&] { return yield_times(3, second_done); });
    for (int turn = 1; turn <= 3; ++turn) {
        CHECK(first.turn() == 1);
        CHECK(second.turn() == 1);
        CHECK(first_done == second_done);
    }
    while (!first.has_ended()) first.turn();
    while (!second.has_ended()) second.turn();
    CHECK(first_done == 3);
    CHECK(second_done == 3);
    CHECK_FALSE(first.finish());
}

TEST_CASE("finish() throws what the main task has thrown") {
    test::test_kernel os;
    stepped_run run(os, false);
    run.start([]() -> task<> {
        co_await cove::yield();
        throw std::runtime_error("main");
    });
    while (!run.has_ended()) run.turn();
    CHECK_THROWS_WITH_AS(run.finish(), "main", std::runtime_error);
}

TEST_CASE("finish() tells that a signal has canceled the main task") {
    test::test_kernel os;
    stepped_run run(os);
    run.start([]() -> task<> { co_await cove::sleep_for(1h); });
    run.turn();
    std::raise(SIGTERM);
    while (!run.has_ended()) run.turn();
    CHECK(run.finish());
}

TEST_CASE("a run that is destroyed before its end destroys its tasks under its loop") {
    test::test_kernel os;
    const cove::loop* seen = nullptr;
    const cove::loop* own = nullptr;
    struct witness {
        const cove::loop*& seen;
        ~witness() { seen = &cove::loop::current(); }
    };
    {
        stepped_run run(os, false);
        own = &run.loop();
        const auto waits = [](const cove::loop*& saw) -> task<> {
            const witness guard{saw};
            co_await cove::sleep_for(1h);
        };
        run.start([&] { return waits(seen); });
        run.turn();
    }
    CHECK(seen == own);
}

TEST_CASE("while the main task is made, the kernel is the run's own") {
    test::test_kernel os;
    stepped_run run(os, false);
    const cove::kernel* seen = nullptr;
    const auto nothing = []() -> task<> { co_return; };
    run.start([&] {
        seen = &cove::kernel::current();
        return nothing();
    });
    CHECK(seen == &os);
    CHECK(&cove::kernel::current() == &cove::linux_kernel());
    while (!run.has_ended()) run.turn();
}

TEST_CASE("a turn of a run in which nothing can ever happen throws deadlock_error") {
    test::test_kernel os;
    stepped_run run(os, false);
    cove::event never;
    const auto waits = [](cove::event& for_ever) -> task<> { co_await for_ever.wait(); };
    run.start([&] { return waits(never); });
    CHECK(run.turn() == 1);
    CHECK_THROWS_AS(run.turn(), cove::deadlock_error);
}
