#include <cove/net/sim/explore.hpp>

#include <atomic>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

namespace cove::sim {
namespace {

constexpr std::uint64_t seeds_per_repetition = 64;

// What a scenario throws itself does not say which run it was.
void run_once(const scenario& run, const plan& which) {
    try {
        run(which);
    } catch (const failed_run&) {
        throw;
    } catch (const std::exception& error) {
        throw failed_run(std::string(error.what()) + '\n' + to_string(which));
    }
}

// Hands the plans to so many threads, until one fails.
class crew {
public:
    crew(const scenario& run, std::uint64_t count, const std::function<plan(std::uint64_t)>& plan_of,
         const std::function<void(const totals&)>& progress)
        : run_(run), count_(count), plan_of_(plan_of), progress_(progress) {}

    totals work(unsigned threads) {
        std::vector<std::thread> others;
        for (unsigned i = 1; i < threads; ++i) others.emplace_back([this] { take_turns(); });
        take_turns();
        for (std::thread& each : others) each.join();
        if (failure_ != nullptr) std::rethrow_exception(failure_);
        return sum_;
    }

private:
    void take_turns() noexcept {
        for (std::uint64_t i; !failed_ && (i = next_++) < count_;) {
            totals own;
            std::exception_ptr thrown;
            try {
                run_planned(plan_of_(i), own);
            } catch (...) {
                thrown = std::current_exception();
            }
            const std::lock_guard lock(mutex_);
            sum_ += own;
            // Whoever is before this one has begun, and may fail yet: the first in order is reported, every time.
            if (thrown != nullptr && (!failed_.exchange(true) || i < failed_at_)) {
                failure_ = thrown;
                failed_at_ = i;
            }
            if (progress_) progress_(sum_);
        }
    }

    void run_planned(plan which, totals& own) const {
        which.into = &own;
        run_once(run_, which);
        if (which.seed % seeds_per_repetition != 0 || which.failing.nth != 0) return;
        totals again;
        which.into = &again;
        run_once(run_, which);
        if (again.fingerprint != own.fingerprint || again.events != own.events)
            throw failed_run("two runs were not the same\n" + to_string(which));
    }

    const scenario& run_;
    const std::uint64_t count_;
    const std::function<plan(std::uint64_t)>& plan_of_;
    const std::function<void(const totals&)>& progress_;
    std::atomic<std::uint64_t> next_{0};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    totals sum_;
    std::exception_ptr failure_;
    std::uint64_t failed_at_ = 0;
};

}  // namespace

totals explore(const scenario& run, seed_range seeds, unsigned threads,
               const std::function<void(const totals&)>& progress) {
    const std::uint64_t count = seeds.last < seeds.first ? 0 : seeds.last - seeds.first + 1;
    return crew(
               run, count, [&](std::uint64_t i) { return plan(seeds.first + i); }, progress)
        .work(threads);
}

totals fail_every_call(const scenario& run, std::uint64_t seed, unsigned threads,
                       const std::function<void(const totals&)>& progress) {
    std::vector<call> calls;
    plan recorded(seed);
    recorded.calls = &calls;
    run_once(run, recorded);
    std::vector<failing_call> failures;
    for (std::size_t i = 0; i < calls.size(); ++i)
        for (const int error : errors_of(calls[i])) failures.push_back({i + 1, error});
    const auto plan_of = [&](std::uint64_t i) {
        plan failing(seed);
        failing.failing = failures[i];
        return failing;
    };
    return crew(run, failures.size(), plan_of, progress).work(threads);
}

}  // namespace cove::sim
