// What a timer costs while others are pending: set and canceled, as most are, alone and by way of timeout().

#include <cove/runtime/detail/timer_wheel.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/timeout.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <random>
#include <vector>

namespace {

using namespace std::chrono_literals;

struct idle_timer final : cove::detail::timer {
    void expire() noexcept override {}
};

void timer_set_and_cancel(benchmark::State& state) {
    cove::detail::timer_wheel wheel;
    std::vector<idle_timer> pending(static_cast<std::size_t>(state.range(0)));
    std::mt19937_64 random(1);
    const cove::time_point start = cove::now();
    wheel.expire(start);
    for (idle_timer& each : pending) wheel.set(each, start + std::chrono::nanoseconds(random() % 60'000'000'000));
    idle_timer timer;
    for (auto _ : state) {
        wheel.set(timer, start + 5s);
        timer.unlink();
    }
}
BENCHMARK(timer_set_and_cancel)->Arg(0)->RangeMultiplier(10)->Range(1, 1'000'000);

void timer_set_and_expire(benchmark::State& state) {
    cove::detail::timer_wheel wheel;
    std::vector<idle_timer> pending(static_cast<std::size_t>(state.range(0)));
    std::mt19937_64 random(1);
    cove::time_point now = cove::now();
    wheel.expire(now);
    for (auto _ : state) {
        for (idle_timer& each : pending) wheel.set(each, now + std::chrono::nanoseconds(random() % 60'000'000'000));
        for (int second = 0; second < 60; ++second) wheel.expire(now += 1s);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(timer_set_and_expire)->RangeMultiplier(10)->Range(1, 1'000'000);

cove::task<> timeout_loop(benchmark::State& state) {
    for (auto _ : state) co_await cove::timeout(5s, cove::yield());
}
void timeout_of_a_yield(benchmark::State& state) { cove::run(timeout_loop(state)); }
BENCHMARK(timeout_of_a_yield);

}  // namespace
