// What coroutines themselves cost: awaiting, spawning, yielding, and waiting in large numbers.

#include <cove/runtime/event.hpp>
#include <cove/runtime/frames.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <benchmark/benchmark.h>
#include <malloc.h>

#include "resident_bytes.hpp"

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
BENCHMARK(yield_among)->RangeMultiplier(10)->Range(1, 1'000'000);

cove::task<> waits_for(cove::event& end) { co_await end.wait(); }

// Returns what the frame of such a task takes of the heap.
cove::task<double> frame_bytes() {
    cove::event never;
    cove::task_group group;
    group.spawn(waits_for(never));
    co_await cove::yield();
    std::size_t size = 0;
    cove::current_scope().for_each_waiter(
        [&](const cove::waiter& idle) { size = ::malloc_usable_size(idle.frame()->handle().address()); });
    co_return static_cast<double>(size + sizeof(std::size_t));  // with what the heap keeps in front of it
}

// So many tasks are spawned, all come to wait, and all end: time for each, and what each holds, its frame included.
cove::task<> alive_loop(benchmark::State& state) {
    const auto count = state.range(0);
    cove::free_cached_frames();
    ::malloc_trim(0);
    const double before = resident_bytes("self");
    double held = 0;
    for (auto _ : state) {
        cove::event end;
        cove::task_group group;
        for (std::int64_t i = 0; i < count; ++i) group.spawn(waits_for(end));
        co_await cove::yield();
        if (held == 0) {
            state.PauseTiming();
            held = resident_bytes("self") - before;
            state.ResumeTiming();
        }
        end.set();
        co_await group.join();
    }
    state.SetItemsProcessed(state.iterations() * count);
    state.counters["frame_bytes"] = co_await frame_bytes();
    state.counters["bytes_each"] = held / static_cast<double>(count);
}
void tasks_alive(benchmark::State& state) { cove::run(alive_loop(state)); }
BENCHMARK(tasks_alive)->RangeMultiplier(10)->Range(1, 1'000'000);

}  // namespace
