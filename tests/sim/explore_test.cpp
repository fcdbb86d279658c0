#include <cove/net/sim/explore.hpp>

#include <cove/net/serve.hpp>

#include <support/sim.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using cove::sim::call;
using cove::sim::explore;
using cove::sim::fail_every_call;
using cove::sim::failed_run;
using cove::sim::plan;
using cove::sim::totals;
using test::contains;
using namespace std::chrono_literals;

namespace {

// A short conversation, in which everything may fail.
void converse(const plan& which) {
    cove::sim::world world(which);
    auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    world.client("client", [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        co_await peer.write("hello");
        peer.shutdown_write();
        auto reading = test::read_to_end(peer);
        const std::string back = co_await reading;
        if (back != "hello" && which.failing.nth == 0) throw std::logic_error("got " + back);
    });
    world.run();
}

template <class Explore>
std::string failure_of(Explore made) {
    try {
        made();
        return {};
    } catch (const failed_run& failure) {
        return failure.what();
    }
}

}  // namespace

TEST_CASE("each seed of a range is run, and every 64th is run again") {
    for (const unsigned threads : {1U, 4U}) {
        std::mutex mutex;
        std::map<std::uint64_t, int> times;
        const totals sum = explore(
            [&](const plan& which) {
                const std::lock_guard lock(mutex);
                ++times[which.seed];
                CHECK(which.failing.nth == 0);
                totals one;
                one.runs = 1;
                if (which.into != nullptr) *which.into += one;
            },
            {10, 209}, threads);
        CHECK(sum.runs == 200);
        CHECK(times.size() == 200);
        for (const auto& [seed, count] : times) CHECK(count == (seed % 64 == 0 ? 2 : 1));
    }
}

TEST_CASE("an empty range runs nothing") {
    const auto never = [](const plan&) { FAIL("was run"); };
    CHECK(explore(never, {2, 1}).runs == 0);
}

TEST_CASE("the totals are those of all runs, whatever the number of threads") {
    const totals one = explore(converse, {1, 100}, 1);
    const totals many = explore(converse, {1, 100}, 3);
    CHECK(one.runs == 100);
    CHECK((one.events > 1000 && one.calls > 1000 && one.turns > 500));
    CHECK(one.time > 100ms);
    CHECK(one.events == many.events);
    CHECK(one.calls == many.calls);
    CHECK(one.turns == many.turns);
    CHECK(one.time == many.time);
}

TEST_CASE("progress is told after each run") {
    std::vector<std::uint64_t> told;
    explore(converse, {1, 20}, 2, [&](const totals& sum) { told.push_back(sum.runs); });
    CHECK(told.size() == 20);
    CHECK(std::is_sorted(told.begin(), told.end()));
    CHECK(told.back() == 20);
}

TEST_CASE("the first failure ends an exploration, and is told with its seed") {
    std::atomic<int> runs{0};
    const std::string failure = failure_of([&] {
        explore(
            [&](const plan& which) {
                ++runs;
                if (which.seed >= 30) throw std::runtime_error("wrong");
            },
            {1, 1000});
    });
    CHECK(failure == "wrong\nseed 30");
    CHECK(runs == 30);
    const std::string by_many = failure_of([&] {
        explore(
            [&](const plan& which) {
                if (which.seed == 500) throw std::runtime_error("wrong");
            },
            {1, 1000}, 4);
    });
    CHECK(by_many == "wrong\nseed 500");
}

TEST_CASE("what a world says of its failure is told as it is") {
    const auto fails = [](const plan& which) {
        cove::sim::world world(which);
        world.client("client", []() -> task<> { throw std::runtime_error("no"); });
        world.run();
    };
    CHECK(failure_of([&] { explore(fails, {5, 9}); }).starts_with("client ended with: no\nseed 5; the last events:"));
}

TEST_CASE("a scenario that depends on more than its seed is found out") {
    std::atomic<std::uint64_t> hidden{0};
    const auto counts = [&hidden](const plan& which) {
        cove::sim::world world(which);
        world.client("client", [&hidden]() -> task<> { co_await cove::sleep_for(1us * ++hidden); });
        world.run();
    };
    CHECK(contains(failure_of([&] { explore(counts, {1, 1000}); }), "two runs were not the same\nseed 64"));
}

TEST_CASE("every call is failed once with each of the errors that it may have") {
    std::vector<call> calls;
    plan recorded(1);
    recorded.calls = &calls;
    converse(recorded);
    std::set<std::pair<std::uint64_t, int>> expected;
    for (std::size_t i = 0; i < calls.size(); ++i)
        for (const int error : errors_of(calls[i])) expected.insert({i + 1, error});
    for (const unsigned threads : {1U, 3U}) {
        std::mutex mutex;
        std::multiset<std::pair<std::uint64_t, int>> failed;
        const totals sum = fail_every_call(
            [&](const plan& which) {
                converse(which);
                if (which.failing.nth == 0) return;
                const std::lock_guard lock(mutex);
                failed.insert({which.failing.nth, which.failing.error});
            },
            1, threads);
        CHECK(sum.runs == expected.size());
        CHECK(std::equal(failed.begin(), failed.end(), expected.begin(), expected.end()));
    }
    CHECK(expected.size() > 100);
}

TEST_CASE("each kind of call has a name, and errors that its man page allows") {
    std::set<std::string> names;
    for (int i = 0; i <= static_cast<int>(call::subscribe); ++i) {
        const auto kind = static_cast<call>(i);
        names.insert(name_of(kind));
        const auto errors = errors_of(kind);
        CHECK(!errors.empty());
        CHECK(std::set<int>(errors.begin(), errors.end()).size() == errors.size());
        for (const int error : errors) CHECK(error > 0);
    }
    CHECK(names.size() == static_cast<std::size_t>(call::subscribe) + 1);
    CHECK(!names.contains("?"));
}

TEST_CASE("a run that goes wrong by a failing call says which call it was") {
    const auto fails = [](const plan& which) {
        converse(which);
        if (which.failing.nth == 3) throw std::logic_error("wrong");
    };
    const std::string failure = failure_of([&] { fail_every_call(fails, 1); });
    CHECK(contains(failure, "wrong\nseed 1, call 3 fails with errno "));
}

TEST_CASE("a scenario that goes wrong before any call is made to fail says its seed") {
    const auto fails = [](const plan&) { throw std::logic_error("wrong"); };
    CHECK(failure_of([&] { fail_every_call(fails, 77); }) == "wrong\nseed 77");
}
