// Prints how many nanoseconds a cache line takes from core 0 to core 1 and back, halved: virtual cores are at times near and
// at times far, which changes every server's figures.

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

namespace {

constexpr int rounds = 100'000;
alignas(64) std::atomic<int> ball{0};

void play(int core, int mine, int other) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    for (int i = 0; i < rounds; ++i) {
        while (ball.load(std::memory_order_acquire) != mine) {
        }
        ball.store(other, std::memory_order_release);
    }
}

}  // namespace

int main() {
    std::thread second(play, 1, 1, 0);
    const auto begun = std::chrono::steady_clock::now();
    play(0, 0, 1);
    second.join();
    const auto took = std::chrono::steady_clock::now() - begun;
    std::printf("%.0f\n", std::chrono::duration<double, std::nano>(took).count() / (2.0 * rounds));
}
