// Asio's equivalents of what sync_bench.cpp, task_bench.cpp and timer_bench.cpp measure, under the same names.

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <random>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using namespace asio::experimental::awaitable_operators;

using queue_type = asio::experimental::channel<void(asio::error_code, int)>;
using remote_queue_type = asio::experimental::concurrent_channel<void(asio::error_code, int)>;

template <auto Body>
void run(benchmark::State& state) {
    asio::io_context loop(1);
    asio::co_spawn(
        loop,
        [&]() -> awaitable<void> {
            co_await Body(state);
            loop.stop();
        },
        [](const std::exception_ptr& failure) {
            if (failure) std::rethrow_exception(failure);
        });
    loop.run();
}
#define ASIO_BENCHMARK(body) BENCHMARK(run<body>)->Name("asio/" #body)

awaitable<int> one() { co_return 1; }

awaitable<void> await_a_finished_task(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(co_await one());
}
ASIO_BENCHMARK(await_a_finished_task);

awaitable<void> does_nothing() { co_return; }
awaitable<void> spawn_and_join(benchmark::State& state) {
    const auto here = co_await asio::this_coro::executor;
    asio::steady_timer all(here, asio::steady_timer::time_point::max());
    for (auto _ : state) {
        std::int64_t left = state.range(0);
        const auto ended = [&](const std::exception_ptr&) {
            if (--left == 0) all.cancel();
        };
        for (std::int64_t i = 0; i < state.range(0); ++i) asio::co_spawn(here, does_nothing(), ended);
        asio::error_code canceled;
        if (left > 0) co_await all.async_wait(asio::redirect_error(use_awaitable, canceled));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
ASIO_BENCHMARK(spawn_and_join)->Arg(1)->Arg(1000);

awaitable<void> yields_for_ever() {
    const auto here = co_await asio::this_coro::executor;
    for (;;) co_await asio::post(here, use_awaitable);
}
awaitable<void> yield_among(benchmark::State& state) {
    const auto here = co_await asio::this_coro::executor;
    for (std::int64_t i = 1; i < state.range(0); ++i) asio::co_spawn(here, yields_for_ever(), asio::detached);
    for (auto _ : state) co_await asio::post(here, use_awaitable);
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
ASIO_BENCHMARK(yield_among)->Arg(1)->Arg(1000);

// A canceled timer's handler is still called: a thousand of them at a time.
void timer_set_and_cancel(benchmark::State& state) {
    asio::io_context loop(1);
    std::mt19937_64 random(1);
    const auto start = asio::steady_timer::clock_type::now();
    const auto ignores = [](const asio::error_code&) {};
    std::vector<asio::steady_timer> pending;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        pending.emplace_back(loop, start + std::chrono::hours(1) + std::chrono::nanoseconds(random() % 60'000'000'000));
        pending.back().async_wait(ignores);
    }
    asio::steady_timer timer(loop);
    int canceled = 0;
    for (auto _ : state) {
        timer.expires_at(start + std::chrono::hours(1) + std::chrono::seconds(5));
        timer.async_wait(ignores);
        timer.cancel();
        if (++canceled % 1000 == 0) loop.poll();
    }
}
BENCHMARK(timer_set_and_cancel)->Name("asio/timer_set_and_cancel")->Arg(0)->Arg(1'000'000);

awaitable<void> channel_uncontended(benchmark::State& state) {
    queue_type queue(co_await asio::this_coro::executor, 1);
    for (auto _ : state) {
        co_await queue.async_send({}, 1, use_awaitable);
        benchmark::DoNotOptimize(co_await queue.async_receive(use_awaitable));
    }
}
ASIO_BENCHMARK(channel_uncontended);

awaitable<void> remote_channel_uncontended(benchmark::State& state) {
    remote_queue_type queue(co_await asio::this_coro::executor, 1);
    for (auto _ : state) {
        co_await queue.async_send({}, 1, use_awaitable);
        benchmark::DoNotOptimize(co_await queue.async_receive(use_awaitable));
    }
}
ASIO_BENCHMARK(remote_channel_uncontended);

awaitable<void> sends_for_ever(queue_type& queue) {
    for (;;) co_await queue.async_send({}, 1, use_awaitable);
}
awaitable<void> channel_contended(benchmark::State& state) {
    const auto here = co_await asio::this_coro::executor;
    queue_type queue(here, static_cast<std::size_t>(state.range(0)));
    for (std::int64_t i = 0; i < state.range(1); ++i) asio::co_spawn(here, sends_for_ever(queue), asio::detached);
    for (auto _ : state) benchmark::DoNotOptimize(co_await queue.async_receive(use_awaitable));
    queue.close();
    co_await asio::post(here, use_awaitable);
}
ASIO_BENCHMARK(channel_contended)->Args({0, 1})->Args({1, 1})->Args({64, 1})->Args({0, 1000})->Args({64, 1000});

// A channel of capacity 1 that holds a token is what Asio's users lock with.
awaitable<void> mutex_uncontended(benchmark::State& state) {
    queue_type token(co_await asio::this_coro::executor, 1);
    token.try_send(asio::error_code(), 1);
    for (auto _ : state) {
        co_await token.async_receive(use_awaitable);
        token.try_send(asio::error_code(), 1);
    }
}
ASIO_BENCHMARK(mutex_uncontended);

awaitable<void> locks_for_ever(queue_type& token) {
    const auto here = co_await asio::this_coro::executor;
    for (;;) {
        co_await token.async_receive(use_awaitable);
        co_await asio::post(here, use_awaitable);
        token.try_send(asio::error_code(), 1);
    }
}
awaitable<void> mutex_contended(benchmark::State& state) {
    const auto here = co_await asio::this_coro::executor;
    queue_type token(here, 1);
    token.try_send(asio::error_code(), 1);
    for (std::int64_t i = 1; i < state.range(0); ++i) asio::co_spawn(here, locks_for_ever(token), asio::detached);
    co_await asio::post(here, use_awaitable);
    for (auto _ : state) {
        co_await token.async_receive(use_awaitable);
        co_await asio::post(here, use_awaitable);
        token.try_send(asio::error_code(), 1);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    token.close();
    co_await asio::post(here, use_awaitable);
}
ASIO_BENCHMARK(mutex_contended)->Arg(2)->Arg(1000);

// A timer that never expires and is canceled is what Asio's users have for an event.
awaitable<void> waits(asio::steady_timer& ready, std::int64_t& left, asio::steady_timer& all) {
    asio::error_code canceled;
    co_await ready.async_wait(asio::redirect_error(use_awaitable, canceled));
    if (--left == 0) all.cancel();
}
awaitable<void> event_wakes(benchmark::State& state) {
    const auto here = co_await asio::this_coro::executor;
    asio::steady_timer ready(here, asio::steady_timer::time_point::max());
    asio::steady_timer all(here, asio::steady_timer::time_point::max());
    for (auto _ : state) {
        state.PauseTiming();
        std::int64_t left = state.range(0);
        for (std::int64_t i = 0; i < state.range(0); ++i) asio::co_spawn(here, waits(ready, left, all), asio::detached);
        co_await asio::post(here, use_awaitable);
        state.ResumeTiming();
        ready.cancel();
        asio::error_code canceled;
        co_await all.async_wait(asio::redirect_error(use_awaitable, canceled));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
ASIO_BENCHMARK(event_wakes)->Arg(1)->Arg(1000)->Arg(1'000'000);

awaitable<void> when_all_of_two(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(co_await (one() && one()));
}
ASIO_BENCHMARK(when_all_of_two);

awaitable<void> race_of_two(benchmark::State& state) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (auto _ : state) {
        timer.expires_after(std::chrono::hours(1));
        benchmark::DoNotOptimize(co_await (one() || timer.async_wait(use_awaitable)));
    }
}
ASIO_BENCHMARK(race_of_two);

awaitable<void> select_of_channel_and_timer(benchmark::State& state) {
    const auto here = co_await asio::this_coro::executor;
    asio::steady_timer timer(here);
    queue_type queue(here, 1);
    asio::co_spawn(here, sends_for_ever(queue), asio::detached);
    for (auto _ : state) {
        timer.expires_after(std::chrono::hours(1));
        benchmark::DoNotOptimize(co_await (timer.async_wait(use_awaitable) || queue.async_receive(use_awaitable)));
    }
    queue.close();
    co_await asio::post(here, use_awaitable);
}
ASIO_BENCHMARK(select_of_channel_and_timer);

awaitable<void> offload_round_trip(benchmark::State& state) {
    const auto here = co_await asio::this_coro::executor;
    asio::thread_pool pool(1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(co_await asio::co_spawn(pool, one(), use_awaitable));
    }
    pool.join();
}
ASIO_BENCHMARK(offload_round_trip)->UseRealTime();

}  // namespace
