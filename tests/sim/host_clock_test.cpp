// A host's clock, as its program sees it: another start, another speed, leaps, and the end of time.

#include <cove/net/sim/host.hpp>

#include <cove/runtime/interval.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <support/sim.hpp>

#include <chrono>
#include <string>

using cove::task;
using cove::sim::host_options;
using namespace std::chrono_literals;

namespace {

// A clock that began with that time and goes by so much too fast, and a world with only its host.
struct one_clock {
    one_clock(cove::duration offset, std::int64_t drift_ppb) {
        options.clock_offset = offset;
        options.clock_drift_ppb = drift_ppb;
    }

    template <class Main>
    void run(Main main) {
        host = &world.client("host", main, options);
        world.run();
    }

    cove::sim::world world{1};
    host_options options;
    cove::sim::host* host = nullptr;
};

task<> for_ever() { co_await cove::sleep_for(cove::duration::max()); }

}  // namespace

TEST_CASE("a clock shows what it was set to, and the time that has passed") {
    one_clock one(10h, 0);
    one.run([&]() -> task<> {
        CHECK(cove::now().time_since_epoch() == 10h + one.world.time());
        co_await cove::sleep_for(1h);
        CHECK(cove::now().time_since_epoch() == 10h + one.world.time());
    });
    CHECK(one.world.time() >= 1h);
}

TEST_CASE("sleeps are as long as the host's own clock says, never less, however wrong it goes") {
    for (const std::int64_t drift : {0, 1, -1, 100, -100, 50'000'000, -50'000'000, 900'000'000, -900'000'000}) {
        CAPTURE(drift);
        one_clock one(0s, drift);
        one.run([&]() -> task<> {
            for (const cove::duration length :
                 {cove::duration(1ns), cove::duration(999ns), cove::duration(10s + 1ns), cove::duration(1h + 7ns)}) {
                const cove::time_point start = cove::now();
                const cove::duration world_start = one.world.time();
                co_await cove::sleep_for(length);
                CHECK(cove::now() - start >= length);
                CHECK(cove::now() - start < length + length / 1000 + 200us);
                const double rate = 1 + static_cast<double>(drift) / 1e9;
                const auto in_world = static_cast<double>((one.world.time() - world_start).count());
                CHECK(in_world * rate > static_cast<double>(length.count()) * 0.999);
                CHECK(in_world * rate < static_cast<double>(length.count()) * 1.001 + 200'000);
            }
        });
    }
}

TEST_CASE("a deadline is met to the turn, though the clock is wrong") {
    one_clock one(3h, -70'000);
    one.run([]() -> task<> {
        const cove::time_point due = cove::now() + 1h;
        const auto in_time = co_await cove::move_on_at(due, for_ever());
        CHECK(!in_time);
        CHECK(cove::now() >= due);
        CHECK(cove::now() < due + 100us);
    });
}

TEST_CASE("a leap of the clock makes due what lies within it, and nothing else") {
    one_clock one(0s, 0);
    one.run([&]() -> task<> {
        one.world.after(1s, [&] { one.host->jump_clock(1h); });
        cove::task_group both;
        const auto short_one = [&]() -> task<> {
            co_await cove::sleep_for(30min);
            CHECK(one.world.time() >= 1s);
            CHECK(one.world.time() < 2s);
        };
        const auto long_one = [&]() -> task<> {
            co_await cove::sleep_for(2h);
            CHECK(one.world.time() >= 1h);
            CHECK(one.world.time() < 1h + 1s);
        };
        both.spawn(short_one());
        both.spawn(long_one());
        co_await both.join();
    });
}

TEST_CASE("a leap after a time-out was set ends it at once") {
    one_clock one(0s, 1000);
    one.run([&]() -> task<> {
        one.host->jump_clock(10min);
        const auto in_time = co_await cove::move_on_after(10min, for_ever());
        CHECK(!in_time);
    });
    CHECK(one.world.time() < 1s);
}

TEST_CASE("a sleep without end never ends, whatever the clock") {
    for (const std::int64_t drift : {0, 1, -1, 1'000'000, -1'000'000}) {
        for (const cove::duration offset : {cove::duration(0s), cove::duration(100h), cove::duration::max() / 2}) {
            cove::sim::world world(1);
            host_options options;
            options.clock_offset = offset;
            options.clock_drift_ppb = drift;
            world.client("host", for_ever, options);
            CAPTURE(drift);
            CHECK(test::contains(test::failure_of(world), "nothing can happen any more"));
            CHECK(world.time() < 1s);
        }
    }
}

TEST_CASE("a sleep nearly without end makes no host spin") {
    for (const std::int64_t drift : {0, 1, -1, 1'000'000, -1'000'000}) {
        cove::sim::world world(1);
        host_options options;
        options.clock_drift_ppb = drift;
        const auto main = []() -> task<> { co_await cove::sleep_for(cove::duration::max() - 1h); };
        auto& host = world.client("host", main, options);
        CAPTURE(drift);
        test::failure_of(world);
        CHECK(host.turns() < 1000);
    }
}

TEST_CASE("a clock stands at the end of time, and goes no further") {
    cove::sim::world world(1);
    host_options options;
    options.clock_offset = cove::duration::max() - 1s;
    auto& machine = world.host("machine", {}, options);
    cove::kernel& os = machine.os();
    CHECK(os.now() == cove::time_point::max() - 1s);
    world.pass(2s);
    CHECK(os.now() == cove::time_point::max());
    machine.jump_clock(cove::duration::max());
    machine.jump_clock(cove::duration::max());
    world.pass(1s);
    CHECK(os.now() == cove::time_point::max());
}

TEST_CASE("at the end of time every time-out is due, and nothing hangs or spins") {
    one_clock one(cove::duration::max() - 1s, 0);
    one.run([&]() -> task<> {
        co_await cove::sleep_for(500ms);
        const auto in_time = co_await cove::move_on_after(100ms, for_ever());
        CHECK(!in_time);
    });
    CHECK(one.world.time() < 1s);
}

TEST_CASE("an interval keeps its step through a drift") {
    one_clock one(0s, 100'000);
    one.run([&]() -> task<> {
        cove::interval every(1s);
        const cove::time_point start = cove::now();
        for (int i = 0; i < 1000; ++i) co_await every.next();
        CHECK(cove::now() - start >= 999s);
        CHECK(cove::now() - start <= 1000s + 1ms);
    });
}
