// What crossing from another thread costs.

#include <cove/runtime/loop_handle.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <benchmark/benchmark.h>

#include <atomic>
#include <thread>

namespace {

// Another thread posts a batch; the loop runs it.
cove::task<> post_loop(benchmark::State& state) {
    const auto batch = state.range(0);
    cove::wait_queue done;
    std::int64_t ran = 0;
    std::atomic<int> rounds{0};
    std::atomic<bool> stop{false};
    std::thread poster([&, handle = cove::loop_handle::current()] {
        int served = 0;
        for (;;) {
            rounds.wait(served);
            if (stop) return;
            ++served;
            for (std::int64_t i = 0; i < batch; ++i)
                handle.post([&ran, &done, batch] {
                    if (++ran == batch) done.wake_all();
                });
        }
    });
    for (auto _ : state) {
        ran = 0;
        ++rounds;
        rounds.notify_one();
        co_await done.wait();
    }
    stop = true;
    ++rounds;
    rounds.notify_one();
    poster.join();
    state.SetItemsProcessed(state.iterations() * batch);
}
void post_from_another_thread(benchmark::State& state) { cove::run(post_loop(state)); }
BENCHMARK(post_from_another_thread)->Arg(1)->Arg(1000)->UseRealTime();

}  // namespace
