// The wheel against its own promises, and against a std::multimap that keeps them the slow way.

#include <cove/runtime/detail/timer_wheel.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using cove::detail::timer_wheel;

namespace {

struct probe final : cove::detail::timer {
    void expire() noexcept override {
        ++expired;
        if (on_expire) on_expire();
    }
    int expired = 0;
    std::function<void()> on_expire;
};

cove::time_point at(std::int64_t nanoseconds) { return cove::time_point(cove::duration(nanoseconds)); }

// What the wheel promises, in the simplest way: equal keys of a multimap keep the order of their insertion.
struct model {
    std::multimap<cove::time_point, int> timers;
    std::vector<std::multimap<cove::time_point, int>::iterator> places;

    explicit model(std::size_t count) : places(count, timers.end()) {}

    void cancel(int id) {
        auto& place = places[static_cast<std::size_t>(id)];
        if (place != timers.end()) timers.erase(place);
        place = timers.end();
    }
    void set(int id, cove::time_point deadline) {
        cancel(id);
        places[static_cast<std::size_t>(id)] = timers.emplace(deadline, id);
    }
    std::vector<int> expire(cove::time_point now) {
        std::vector<int> due;
        while (!timers.empty() && timers.begin()->first <= now) {
            due.push_back(timers.begin()->second);
            cancel(due.back());
        }
        return due;
    }
};

void compare_with_model(std::uint64_t seed, std::uint64_t digits_max) {
    CAPTURE(seed);
    constexpr int count = 200;
    std::mt19937_64 random(seed);
    timer_wheel wheel;
    model expected(count);
    std::vector<int> expired;
    std::vector<std::unique_ptr<probe>> timers;
    for (int id = 0; id < count; ++id) {
        timers.push_back(std::make_unique<probe>());
        timers.back()->on_expire = [&expired, id] { expired.push_back(id); };
    }
    // Lengths of every magnitude, so that every level and every border between two levels is met.
    auto some_length = [&] { return static_cast<std::int64_t>(random() >> (64 - 1 - random() % digits_max)); };
    std::int64_t now = some_length();
    wheel.expire(at(now));
    for (int step = 0; step < 4000; ++step) {
        const int id = static_cast<int>(random() % count);
        switch (random() % 8) {
            case 0: {
                expected.cancel(id);
                timers[static_cast<std::size_t>(id)]->unlink();
                break;
            }
            case 1: {
                now += random() % 2 == 0 ? some_length() : 0;
                // Half of the time exactly to a deadline, or just before one.
                if (random() % 2 == 0 && !expected.timers.empty())
                    now = std::max(now, (expected.timers.begin()->first - at(0)).count() -
                                            static_cast<std::int64_t>(random() % 2));
                expired.clear();
                wheel.expire(at(now));
                REQUIRE(expired == expected.expire(at(now)));
                break;
            }
            default: {
                // Several share a deadline, to see their order.
                const cove::time_point deadline = random() % 4 == 0 && !expected.timers.empty()
                                                      ? expected.timers.rbegin()->first
                                                      : at(now + some_length());
                expected.set(id, deadline);
                wheel.set(*timers[static_cast<std::size_t>(id)], deadline);
            }
        }
        REQUIRE(wheel.empty() == expected.timers.empty());
        if (expected.timers.empty())
            REQUIRE(wheel.next_wake() == cove::time_point::max());
        else
            REQUIRE(wheel.next_wake() <= expected.timers.begin()->first);
    }
    expired.clear();
    wheel.expire(cove::time_point::max());
    REQUIRE(expired == expected.expire(cove::time_point::max()));
    REQUIRE(wheel.empty());
}

}  // namespace

TEST_CASE("timers expire in the order of their deadlines, to the nanosecond") {
    timer_wheel wheel;
    std::vector<int> order;
    probe timers[100];
    for (int i = 0; i < 100; ++i) {
        timers[i].on_expire = [&order, i] { order.push_back(i); };
        wheel.set(timers[i], at(1'000'000 + (i * 37) % 100));
    }
    wheel.expire(at(2'000'000));
    REQUIRE(order.size() == 100);
    for (std::size_t i = 0; i < 100; ++i) CHECK((order[i] * 37) % 100 == static_cast<int>(i));
}

TEST_CASE("equal deadlines expire in the order in which they were set, from however far away") {
    timer_wheel wheel;
    std::vector<int> order;
    probe timers[50];
    const cove::time_point deadline = at(123'456'789'012'345);
    for (int i = 0; i < 50; ++i) {
        timers[i].on_expire = [&order, i] { order.push_back(i); };
        wheel.set(timers[i], deadline);
        wheel.expire(at(123'456'789'012'345 - (std::int64_t{1} << (49 - i))));
    }
    CHECK(order.empty());
    wheel.expire(deadline);
    REQUIRE(order.size() == 50);
    CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("a timer expires at its deadline, not a nanosecond earlier, and once") {
    for (int bit = 0; bit < 63; ++bit) {
        CAPTURE(bit);
        timer_wheel wheel;
        probe timer;
        const cove::time_point deadline = at(std::int64_t{1} << bit);
        wheel.set(timer, deadline);
        wheel.expire(deadline - 1ns);
        CHECK(timer.expired == 0);
        CHECK(wheel.next_wake() <= deadline);
        wheel.expire(deadline);
        CHECK(timer.expired == 1);
        wheel.expire(deadline + 1ns);
        CHECK(timer.expired == 1);
        CHECK(wheel.empty());
    }
}

TEST_CASE("a deadline that is past expires with the next look") {
    timer_wheel wheel;
    wheel.expire(at(1'000'000));
    probe timers[3];
    wheel.set(timers[0], at(999'999));
    wheel.set(timers[1], at(0));
    wheel.set(timers[2], cove::time_point::min());
    CHECK(wheel.next_wake() <= at(1'000'000));
    wheel.expire(at(1'000'000));
    for (const probe& each : timers) CHECK(each.expired == 1);
}

TEST_CASE("huge deadlines neither overflow nor expire early") {
    timer_wheel wheel;
    wheel.expire(at(0) + 1h);
    const cove::time_point deadlines[] = {at(0) + 24h * 25, at(0) + 24h * 365 * 100, cove::time_point::max() - 1ns,
                                          cove::time_point::max()};
    probe timers[4];
    for (int i = 0; i < 4; ++i) wheel.set(timers[i], deadlines[i]);
    for (int i = 0; i < 4; ++i) {
        wheel.expire(deadlines[i] - 1ns);
        CHECK(timers[i].expired == 0);
        wheel.expire(deadlines[i]);
        CHECK(timers[i].expired == 1);
    }
}

TEST_CASE("a timer that another one cancels in the same batch does not expire") {
    for (const int victim : {0, 1, 2}) {
        CAPTURE(victim);
        timer_wheel wheel;
        probe timers[3];
        timers[1].on_expire = [&] { timers[victim].unlink(); };
        for (int i = 0; i < 3; ++i) wheel.set(timers[i], at(1000 + i / 2));
        wheel.expire(at(5000));
        CHECK(timers[0].expired == 1);
        CHECK(timers[1].expired == 1);
        CHECK(timers[2].expired == (victim == 2 ? 0 : 1));
        CHECK(wheel.empty());
    }
}

TEST_CASE("a timer that is set again expires once, at the new time, earlier or later") {
    timer_wheel wheel;
    probe earlier;
    probe later;
    wheel.set(earlier, at(1'000'000));
    wheel.set(later, at(1'000));
    wheel.set(earlier, at(2'000));
    wheel.set(later, at(3'000'000));
    wheel.expire(at(1'999));
    CHECK(earlier.expired == 0);
    CHECK(later.expired == 0);
    wheel.expire(at(2'000));
    CHECK(earlier.expired == 1);
    wheel.expire(at(2'999'999));
    CHECK(later.expired == 0);
    wheel.expire(at(3'000'000));
    CHECK(later.expired == 1);
    CHECK(earlier.expired == 1);
}

TEST_CASE("a timer that is destroyed has left the wheel") {
    timer_wheel wheel;
    {
        probe gone;
        wheel.set(gone, at(1'000));
        CHECK_FALSE(wheel.empty());
    }
    CHECK(wheel.empty());
    CHECK(wheel.next_wake() == cove::time_point::max());
    wheel.expire(at(2'000));
}

TEST_CASE("few timers are waited for to the nanosecond, and many never too long") {
    timer_wheel wheel;
    probe timers[1000];
    wheel.set(timers[0], at(5'000'000));
    wheel.set(timers[1], at(5'000'777));
    CHECK(wheel.next_wake() == at(5'000'000));
    for (probe& each : timers) wheel.set(each, at(7'000'000'123));
    // Waking early and looking again must lead to the deadline in a few steps.
    int looks = 0;
    while (!wheel.empty() && looks < 50) {
        ++looks;
        CHECK(wheel.next_wake() <= at(7'000'000'123));
        wheel.expire(wheel.next_wake());
    }
    CHECK(looks < 15);
    for (const probe& each : timers) CHECK(each.expired == 1);
}

TEST_CASE("a million timers are set and canceled, and none is left") {
    timer_wheel wheel;
    std::mt19937_64 random(1);
    std::vector<probe> timers(1'000'000);
    const auto start = std::chrono::steady_clock::now();
    for (probe& each : timers) wheel.set(each, at(static_cast<std::int64_t>(random() % 60'000'000'000)));
    for (probe& each : timers) each.unlink();
    CHECK(wheel.empty());
    // A cost that grew with their number would be minutes here.
    CHECK(std::chrono::steady_clock::now() - start < 30s);
    wheel.expire(at(60'000'000'000));
    CHECK(std::none_of(timers.begin(), timers.end(), [](const probe& each) { return each.expired > 0; }));
}

TEST_CASE("the wheel does what a multimap would, whatever is set, canceled, reset and expired") {
    const char* given = std::getenv("COVE_SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    MESSAGE("COVE_SEED=" << seed);
    for (const std::uint64_t digits_max : {7U, 13U, 20U, 40U, 50U})
        for (std::uint64_t round = 0; round < 10; ++round) compare_with_model(seed + round, digits_max);
}
