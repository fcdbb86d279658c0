// What coordination costs: each primitive uncontended, contended, and with a million waiters where that says something.
// asio_bench.cpp has Asio's equivalents, under the same names.

#include <cove/runtime/async_generator.hpp>
#include <cove/runtime/barrier.hpp>
#include <cove/runtime/broadcast.hpp>
#include <cove/runtime/channel.hpp>
#include <cove/runtime/condition.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/for_each_concurrent.hpp>
#include <cove/runtime/latch.hpp>
#include <cove/runtime/mutex.hpp>
#include <cove/runtime/offload.hpp>
#include <cove/runtime/promise.hpp>
#include <cove/runtime/race.hpp>
#include <cove/runtime/remote_channel.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/semaphore.hpp>
#include <cove/runtime/shared_mutex.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/watch.hpp>
#include <cove/runtime/when_all.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace {

using cove::task;

// Registers body(state), a task, as a benchmark.
template <auto Body>
void run(benchmark::State& state) {
    cove::run_options options;
    options.stop_on_signals = false;
    cove::run(Body(state), options);
}
#define COVE_BENCHMARK(body) BENCHMARK(run<body>)->Name("cove/" #body)

// --- one coroutine, nobody in the way

task<> mutex_uncontended(benchmark::State& state) {
    cove::mutex lock;
    for (auto _ : state) benchmark::DoNotOptimize(co_await lock.lock());
}
COVE_BENCHMARK(mutex_uncontended);

task<> semaphore_uncontended(benchmark::State& state) {
    cove::semaphore limit(2);
    for (auto _ : state) benchmark::DoNotOptimize(co_await limit.acquire());
}
COVE_BENCHMARK(semaphore_uncontended);

task<> shared_mutex_uncontended(benchmark::State& state) {
    cove::shared_mutex lock;
    for (auto _ : state) benchmark::DoNotOptimize(co_await lock.lock_shared());
}
COVE_BENCHMARK(shared_mutex_uncontended);

task<> event_that_is_set(benchmark::State& state) {
    cove::event ready(true);
    for (auto _ : state) co_await ready.wait();
}
COVE_BENCHMARK(event_that_is_set);

task<> promise_that_is_set(benchmark::State& state) {
    cove::promise<int> answer;
    answer.set_value(1);
    for (auto _ : state) benchmark::DoNotOptimize(co_await answer.get());
}
COVE_BENCHMARK(promise_that_is_set);

task<> latch_and_barrier_of_one(benchmark::State& state) {
    cove::barrier meeting(1);
    for (auto _ : state) {
        cove::latch done(1);
        done.count_down();
        co_await done.wait();
        co_await meeting.arrive_and_wait();
    }
}
COVE_BENCHMARK(latch_and_barrier_of_one);

// A pair of send and receive.
task<> channel_uncontended(benchmark::State& state) {
    cove::channel<int> queue(1);
    for (auto _ : state) {
        co_await queue.send(1);
        benchmark::DoNotOptimize(co_await queue.receive());
    }
}
COVE_BENCHMARK(channel_uncontended);

task<> remote_channel_uncontended(benchmark::State& state) {
    cove::remote_channel<int> queue(1);
    for (auto _ : state) {
        co_await queue.send(1);
        benchmark::DoNotOptimize(co_await queue.receive());
    }
}
COVE_BENCHMARK(remote_channel_uncontended);

task<> broadcast_uncontended(benchmark::State& state) {
    cove::broadcast<int> news(1);
    cove::broadcast<int>::subscription mine(news);
    for (auto _ : state) {
        news.send(1);
        benchmark::DoNotOptimize(co_await mine.receive());
    }
}
COVE_BENCHMARK(broadcast_uncontended);

task<> watch_uncontended(benchmark::State& state) {
    cove::watch<int> level(0);
    cove::watch<int>::observer mine(level);
    for (auto _ : state) {
        level.set(1);
        benchmark::DoNotOptimize(co_await mine.changed());
    }
}
COVE_BENCHMARK(watch_uncontended);

cove::async_generator<int> for_ever() {
    for (int i = 0;; ++i) co_yield i;
}
task<> generator_value(benchmark::State& state) {
    auto numbers = for_ever();
    for (auto _ : state) benchmark::DoNotOptimize(co_await numbers.next());
}
COVE_BENCHMARK(generator_value);

// --- two coroutines, or many, that hand over to one another

task<> locks_for_ever(cove::mutex& lock) {
    for (;;) {
        const auto held = co_await lock.lock();
        co_await cove::yield();
    }
}
task<> mutex_contended(benchmark::State& state) {
    cove::mutex lock;
    cove::task_group others;
    for (std::int64_t i = 1; i < state.range(0); ++i) others.spawn(locks_for_ever(lock));
    co_await cove::yield();
    for (auto _ : state) {
        const auto held = co_await lock.lock();
        co_await cove::yield();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
COVE_BENCHMARK(mutex_contended)->Arg(2)->Arg(1000)->Arg(1'000'000);

task<> reads_for_ever(cove::shared_mutex& lock) {
    for (;;) {
        const auto held = co_await lock.lock_shared();
        co_await cove::yield();
    }
}
task<> shared_mutex_contended(benchmark::State& state) {
    cove::shared_mutex lock;
    cove::task_group others;
    for (std::int64_t i = 1; i < state.range(0); ++i) others.spawn(reads_for_ever(lock));
    co_await cove::yield();
    for (auto _ : state) {
        const auto held = co_await lock.lock();
        co_await cove::yield();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
COVE_BENCHMARK(shared_mutex_contended)->Arg(2)->Arg(1000);

task<> sends_for_ever(cove::channel<int>& queue) {
    for (;;) co_await queue.send(1);
}
task<> channel_contended(benchmark::State& state) {
    cove::channel<int> queue(static_cast<std::size_t>(state.range(0)));
    cove::task_group others;
    for (std::int64_t i = 0; i < state.range(1); ++i) others.spawn(sends_for_ever(queue));
    for (auto _ : state) benchmark::DoNotOptimize(co_await queue.receive());
}
COVE_BENCHMARK(channel_contended)
    ->Args({0, 1})
    ->Args({1, 1})
    ->Args({64, 1})
    ->Args({0, 1000})
    ->Args({64, 1000})
    ->Args({64, 1'000'000});

task<> notified_for_ever(cove::mutex& lock, cove::condition& changed) {
    auto held = co_await lock.lock();
    for (;;) co_await changed.wait(held);
}
task<> condition_notify(benchmark::State& state) {
    cove::mutex lock;
    cove::condition changed;
    cove::task_group others;
    for (std::int64_t i = 0; i < state.range(0); ++i) others.spawn(notified_for_ever(lock, changed));
    co_await cove::yield();
    for (auto _ : state) {
        changed.notify_one();
        co_await cove::yield();
    }
}
COVE_BENCHMARK(condition_notify)->Arg(1)->Arg(1000)->Arg(1'000'000);

task<> waits(cove::event& ready) { co_await ready.wait(); }
task<> event_wakes(benchmark::State& state) {
    cove::event ready;
    cove::task_group others;
    for (auto _ : state) {
        state.PauseTiming();
        ready.reset();
        for (std::int64_t i = 0; i < state.range(0); ++i) others.spawn(waits(ready));
        co_await cove::yield();
        state.ResumeTiming();
        ready.set();
        co_await others.join();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
COVE_BENCHMARK(event_wakes)->Arg(1)->Arg(1000)->Arg(1'000'000);

task<> meets_for_ever(cove::barrier& meeting) {
    for (;;) co_await meeting.arrive_and_wait();
}
task<> barrier_round(benchmark::State& state) {
    cove::barrier meeting(static_cast<std::size_t>(state.range(0)));
    cove::task_group others;
    for (std::int64_t i = 1; i < state.range(0); ++i) others.spawn(meets_for_ever(meeting));
    co_await cove::yield();
    for (auto _ : state) co_await meeting.arrive_and_wait();
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
COVE_BENCHMARK(barrier_round)->Arg(2)->Arg(1000);

task<> listens(cove::broadcast<int>& news, std::int64_t& heard) {
    cove::broadcast<int>::subscription mine(news);
    while (const auto next = co_await mine.receive()) ++heard;
}
task<> broadcast_to(benchmark::State& state) {
    cove::broadcast<int> news(16);
    std::int64_t heard = 0;
    cove::task_group others;
    for (std::int64_t i = 0; i < state.range(0); ++i) others.spawn(listens(news, heard));
    co_await cove::yield();
    for (auto _ : state) {
        news.send(1);
        co_await cove::yield();
    }
    state.SetItemsProcessed(heard);
}
COVE_BENCHMARK(broadcast_to)->Arg(1)->Arg(1000);

task<int> one() { co_return 1; }

task<> when_all_of_two(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(co_await cove::when_all(one(), one()));
}
COVE_BENCHMARK(when_all_of_two);

task<> race_of_two(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(co_await cove::race(one(), cove::sleep_for(std::chrono::hours(1))));
}
COVE_BENCHMARK(race_of_two);

task<> select_of_channel_and_timer(benchmark::State& state) {
    cove::channel<int> queue(1);
    cove::task_group sender;
    sender.spawn(sends_for_ever(queue));
    for (auto _ : state) {
        auto timer = cove::sleep_for(std::chrono::hours(1));
        benchmark::DoNotOptimize(co_await cove::select(timer, queue.receive()));
    }
}
COVE_BENCHMARK(select_of_channel_and_timer);

task<> for_each_of_a_thousand(benchmark::State& state) {
    const std::vector<int> items(1000);
    const auto work = [](int) -> task<> { co_await cove::yield(); };
    for (auto _ : state) co_await cove::for_each_concurrent(items, static_cast<std::size_t>(state.range(0)), work);
    state.SetItemsProcessed(state.iterations() * 1000);
}
COVE_BENCHMARK(for_each_of_a_thousand)->Arg(1)->Arg(100);

// --- threads

task<> offload_round_trip(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(co_await cove::offload([] { return 1; }));
}
COVE_BENCHMARK(offload_round_trip)->UseRealTime();

task<> remote_channel_from_a_thread(benchmark::State& state) {
    cove::remote_channel<int> queue(static_cast<std::size_t>(state.range(0)));
    std::thread sender([queue]() mutable {
        while (queue.send_blocking(1)) {
        }
    });
    for (auto _ : state) benchmark::DoNotOptimize(co_await queue.receive());
    queue.close();
    sender.join();
}
COVE_BENCHMARK(remote_channel_from_a_thread)->Arg(1)->Arg(1024)->UseRealTime();

task<> remote_channel_ping_pong(benchmark::State& state) {
    cove::remote_channel<int> there(1);
    cove::remote_channel<int> back(1);
    std::thread other([there, back]() mutable {
        while (const auto ball = there.receive_blocking()) back.send_blocking(*ball);
    });
    for (auto _ : state) {
        co_await there.send(1);
        benchmark::DoNotOptimize(co_await back.receive());
    }
    there.close();
    other.join();
}
COVE_BENCHMARK(remote_channel_ping_pong)->UseRealTime();

}  // namespace
