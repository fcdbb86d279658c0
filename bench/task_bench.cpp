// What coroutines themselves cost: awaiting, spawning, yielding.

#include <cove/runtime/run.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <benchmark/benchmark.h>

namespace {

cove::task<int> finishes_at_once(int value) { co_return value; }
cove::task<> does_nothing() { co_return; }

cove::task<> await_loop(benchmark::State& state) {
    int sum = 0;
    for (auto _ : state) sum += co_await finishes_at_once(1);
    benchmark::DoNotOptimize(sum);
}
void await_a_finished_task(benchmark::State& state) { cove::run(await_loop(state)); }
BENCHMARK(await_a_finished_task);

cove::task<> spawn_loop(benchmark::State& state) {
    const auto batch = state.range(0);
    cove::task_group group;
    for (auto _ : state) {
        for (std::int64_t i = 0; i < batch; ++i) group.spawn(does_nothing());
        co_await group.join();
    }
    state.SetItemsProcessed(state.iterations() * batch);
}
void spawn_and_join(benchmark::State& state) { cove::run(spawn_loop(state)); }
BENCHMARK(spawn_and_join)->Arg(1)->Arg(1000);

cove::task<> yield_for_ever() {
    for (;;) co_await cove::yield();
}
cove::task<> yield_loop(benchmark::State& state) {
    cove::task_group others;
    for (std::int64_t i = 1; i < state.range(0); ++i) others.spawn(yield_for_ever());
    for (auto _ : state) co_await cove::yield();
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
void yield_among(benchmark::State& state) { cove::run(yield_loop(state)); }
BENCHMARK(yield_among)->Arg(1)->Arg(1000);

}  // namespace
