// offload() in a simulated world: no thread, some virtual time, the same results every time.

#include <cove/runtime/offload.hpp>

#include <cove/net/sim/world.hpp>
#include <cove/runtime/frames.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using cove::task;

TEST_CASE("a simulated offload makes its call on the one thread there is, and takes virtual time") {
    cove::sim::world world(1);
    const auto self = std::this_thread::get_id();
    bool same_thread = false;
    cove::duration took{};
    const auto main = [&]() -> task<> {
        const cove::time_point start = cove::now();
        const auto call = [&same_thread, self] {
            same_thread = std::this_thread::get_id() == self;
            return 42;
        };
        auto offloaded = cove::offload(call);
        const int answer = co_await offloaded;
        took = cove::now() - start;
        CHECK(answer == 42);
    };
    world.client("host", main);
    world.run();
    CHECK(same_thread);
    CHECK(took > 0ns);
    CHECK(took < 1s);
}

TEST_CASE("what a simulated offload's call throws is thrown where it is awaited") {
    cove::sim::world world(1);
    bool caught = false;
    const auto main = [&]() -> task<> {
        try {
            co_await cove::offload([] { throw std::runtime_error("from the call"); });
        } catch (const std::runtime_error&) {
            caught = true;
        }
    };
    world.client("host", main);
    world.run();
    CHECK(caught);
}

TEST_CASE("simulated offloads end in an order that is drawn from the seed, and is the same for the same one") {
    const auto order_of = [](std::uint64_t seed) {
        cove::sim::world world(seed);
        std::vector<int> order;
        const auto one = [&order](int number) -> task<> {
            co_await cove::offload([number, &order] { order.push_back(number); });
        };
        const auto main = [&]() -> task<> {
            cove::task_group group;
            for (int i = 0; i < 8; ++i) group.spawn(one(i));
            co_await group.join();
        };
        world.client("host", main);
        world.run();
        return order;
    };
    CHECK(order_of(1).size() == 8);
    CHECK(order_of(1) == order_of(1));
    CHECK(order_of(1) != order_of(2));
}

TEST_CASE("a simulated offload that is canceled before its call is made never makes it") {
    const long frames = cove::frames_alive();
    cove::sim::world world(1);
    bool made = false;
    const auto main = [&]() -> task<> {
        const auto ended = co_await cove::move_on_after(0s, cove::offload([&made] { made = true; }));
        CHECK(!ended);
        co_await cove::sleep_for(1h);
    };
    world.client("host", main);
    world.run();
    CHECK(!made);
    CHECK(cove::frames_alive() == frames);
}

TEST_CASE("a host that crashes while its calls are under way leaves nothing behind") {
    cove::sim::world world(1);
    bool made = false;
    const auto offloads = [&]() -> task<> { co_await cove::offload([&made] { made = true; }); };
    const auto abandons = [&]() -> task<> { co_await cove::offload_or_abandon([&made] { made = true; }); };
    auto& first = world.host("first", offloads);
    auto& second = world.host("second", abandons);
    const auto main = [&]() -> task<> {
        first.crash();
        second.crash();
        co_await cove::sleep_for(1h);
    };
    world.client("client", main);
    world.run();
    CHECK(!first.is_running());
}
