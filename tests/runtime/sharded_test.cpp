// Loops on threads of their own: what each is given, how they reach one another, and how all of them end.

#include <cove/runtime/sharded.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/offload.hpp>
#include <cove/runtime/remote_channel.hpp>
#include <cove/runtime/remote_event.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/thread_pool.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/child.hpp>
#include <support/test_kernel.hpp>
#include <support/threads.hpp>

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using cove::shard;
using cove::task;

namespace {

cove::sharded_options plain() {
    cove::sharded_options options;
    options.stop_on_signals = false;
    return options;
}

// Runs body on each of n shards, for as long as a test may take at most.
template <class Body>
int run_shards(unsigned n, Body body, cove::sharded_options options = plain()) {
    return cove::run_sharded(
        n, [body](shard& self) mutable -> task<> { co_await cove::timeout(60s, body(self)); }, options);
}

// Ends when so many have come to it, on whichever shard.
class meeting {
public:
    explicit meeting(unsigned expected) : missing_(expected) {}
    task<> come() {
        cove::remote_event all_here = all_here_;
        if (missing_.fetch_sub(1) == 1) all_here.set();
        co_await all_here.wait();
    }

private:
    std::atomic<unsigned> missing_;
    cove::remote_event all_here_;
};

cpu_set_t affinity() {
    cpu_set_t now;
    CPU_ZERO(&now);
    REQUIRE(::sched_getaffinity(0, sizeof now, &now) == 0);
    return now;
}

struct restored_affinity {
    const cpu_set_t before = affinity();
    ~restored_affinity() { ::sched_setaffinity(0, sizeof before, &before); }
};

}  // namespace

TEST_CASE("each shard has a thread and a loop of its own, the first one the caller's thread") {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    std::set<const cove::loop*> loops;
    std::set<unsigned> indices;
    const auto caller = std::this_thread::get_id();
    meeting all(4);
    const int status = run_shards(4, [&](shard& self) -> task<> {
        {
            const std::lock_guard guard(mutex);
            threads.insert(std::this_thread::get_id());
            loops.insert(&cove::loop::current());
            indices.insert(self.index());
            CHECK(self.count() == 4);
            if (self.index() == 0) CHECK(std::this_thread::get_id() == caller);
        }
        co_await all.come();
    });
    CHECK(status == 0);
    CHECK(threads.size() == 4);
    CHECK(loops.size() == 4);
    CHECK(indices == std::set<unsigned>{0, 1, 2, 3});
}

TEST_CASE("main is copied for each shard, called on the shard's thread, and its captures live as long as its task") {
    struct told {
        std::mutex mutex;
        std::vector<std::thread::id> called, destroyed;
    } seen;
    struct witness {
        explicit witness(told& w) : where(&w) {}
        witness(const witness& other) : where(other.where) {}
        witness& operator=(const witness&) = delete;
        ~witness() {
            if (!called) return;
            const std::lock_guard guard(where->mutex);
            where->destroyed.push_back(std::this_thread::get_id());
        }
        told* where;
        bool called = false;
    };
    const auto main = [witness = witness(seen)](shard&) mutable -> task<> {
        CHECK_FALSE(witness.called);
        witness.called = true;
        {
            const std::lock_guard guard(witness.where->mutex);
            witness.where->called.push_back(std::this_thread::get_id());
        }
        co_await cove::yield();
        const std::lock_guard guard(witness.where->mutex);
        CHECK(witness.where->destroyed.size() < 3);
    };
    cove::run_sharded(3, main, plain());
    CHECK(seen.called.size() == 3);
    CHECK(std::multiset<std::thread::id>(seen.called.begin(), seen.called.end()) ==
          std::multiset<std::thread::id>(seen.destroyed.begin(), seen.destroyed.end()));
}

TEST_CASE("a plain function is a main too") {
    static std::atomic<unsigned> sum;
    sum = 0;
    struct adds {
        static task<> index(shard& self) {
            sum += self.index();
            co_return;
        }
    };
    CHECK(cove::run_sharded(3, &adds::index, plain()) == 0);
    CHECK(sum == 3);
}

TEST_CASE("none is as many as the process may run on, not as there are") {
    const restored_affinity after;
    CHECK(cove::processors_allowed() == static_cast<unsigned>(CPU_COUNT(&after.before)));
    cpu_set_t only;
    CPU_ZERO(&only);
    for (int number = 0; CPU_COUNT(&only) == 0; ++number)
        if (CPU_ISSET(number, &after.before)) CPU_SET(number, &only);
    REQUIRE(::sched_setaffinity(0, sizeof only, &only) == 0);
    CHECK(cove::processors_allowed() == 1);
    std::atomic<unsigned> shards{0};
    run_shards(0, [&](shard& self) -> task<> {
        ++shards;
        CHECK(self.count() == 1);
        co_return;
    });
    CHECK(shards == 1);
}

TEST_CASE("pinned, each shard runs on one of the processors allowed, and afterwards the caller where it did before") {
    const cpu_set_t before = affinity();
    const auto allowed = static_cast<unsigned>(CPU_COUNT(&before));
    const unsigned count = allowed + 1;
    std::vector<cpu_set_t> on(count);
    cove::sharded_options options = plain();
    options.pin = true;
    run_shards(
        count,
        [&](shard& self) -> task<> {
            on[self.index()] = affinity();
            co_return;
        },
        options);
    for (unsigned i = 0; i < count; ++i) {
        CHECK(CPU_COUNT(&on[i]) == 1);
        cpu_set_t both;
        CPU_AND(&both, &on[i], &before);
        CHECK(CPU_COUNT(&both) == 1);
        for (unsigned j = 0; j < i; ++j) CHECK(bool(CPU_EQUAL(&on[i], &on[j])) == ((i - j) % allowed == 0));
    }
    const cpu_set_t after = affinity();
    CHECK(CPU_EQUAL(&after, &before));
}

TEST_CASE("what a pinned shard offloads is not pinned with it") {
    const cpu_set_t before = affinity();
    cove::sharded_options options = plain();
    options.pin = true;
    run_shards(
        2,
        [&](shard&) -> task<> {
            cove::thread_pool pool;
            const cpu_set_t there = co_await cove::offload(pool, affinity);
            CHECK(CPU_EQUAL(&there, &before));
            const cpu_set_t here = affinity();
            CHECK(CPU_COUNT(&here) == 1);
        },
        options);
}

TEST_CASE("where a thread cannot be pinned run_sharded says so, and no main is called") {
    test::test_kernel os;
    os.fault = [](std::string_view call, int) -> std::optional<long> {
        return call == "pin" ? std::optional<long>(-EPERM) : std::nullopt;
    };
    cove::sharded_options options = plain();
    options.pin = true;
    options.os = &os;
    bool called = false;
    std::error_code code;
    try {
        run_shards(
            1,
            [&](shard&) -> task<> {
                called = true;
                co_return;
            },
            options);
    } catch (const std::system_error& error) {
        code = error.code();
    }
    CHECK(code == std::errc::operation_not_permitted);
    CHECK_FALSE(called);
}

TEST_CASE("where one of the loops cannot be made no main is called, and nothing leaks") {
    const int spare = ::dup(STDERR_FILENO);
    ::close(spare);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    std::atomic<int> called{0};
    const auto run = [&called] {
        run_shards(4, [&called](shard&) -> task<> {
            ++called;
            co_return;
        });
    };
    run();
    CHECK(called == 4);  // UBSan has then seen the types, for which it needs a descriptor
    called = 0;
    for (rlim_t more = 0; more < 8; ++more) {  // a loop needs two: there are four of them
        const rlimit low{static_cast<rlim_t>(spare) + more, before.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
        std::error_code code;
        try {
            run();
        } catch (const std::system_error& error) {
            code = error.code();
        }
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
        CHECK(code == std::errc::too_many_files_open);
        CHECK(called == 0);
    }
    const int still_spare = ::dup(STDERR_FILENO);
    ::close(still_spare);
    CHECK(still_spare == spare);
}

TEST_CASE("what is posted to a shard runs there, in order") {
    static constexpr unsigned count = 3;
    static constexpr int posts = 1000;
    run_shards(count, [&](shard& self) -> task<> {
        struct mailbox {
            int next[count] = {};
            int arrived = 0;
            bool in_order = true;
            cove::wait_queue all;
        };
        static thread_local mailbox* own = nullptr;
        static meeting ready(count);
        mailbox here;
        own = &here;
        co_await ready.come();
        for (int i = 0; i < posts; ++i) {
            for (unsigned to = 0; to < count; ++to) {
                CHECK(self.post(to, [from = self.index(), i] {
                    own->in_order = own->in_order && own->next[from] == i;
                    own->next[from] = i + 1;
                    if (++own->arrived == posts * static_cast<int>(count)) own->all.wake_all();
                }));
            }
            if (i % 50 == 0) co_await cove::yield();
        }
        while (here.arrived < posts * static_cast<int>(count)) co_await here.all.wait();
        CHECK(here.in_order);
    });
}

TEST_CASE("a shard that ends in order leaves the others running, and what is posted to it is refused") {
    const auto held = std::make_shared<int>(0);
    run_shards(3, [&](shard& self) -> task<> {
        if (self.index() == 1) co_return;
        const cove::loop_handle handle = self.handle(1);
        while (handle.post([held] { ++*held; })) co_await cove::yield();
        CHECK_FALSE(self.post(1, [held] { ++*held; }));
        const std::uint64_t last = self.counters(1).turns;
        co_await cove::yield();
        CHECK(self.counters(1).turns == last);
    });
    CHECK(held.use_count() == 1);
}

TEST_CASE("the first exception is run_sharded's, and cancels the others, which are waited for") {
    for (unsigned failing = 0; failing < 3; ++failing) {
        meeting all(3);
        std::atomic<int> canceled{0};
        const auto body = [&](shard& self) -> task<> {
            std::string why;
            try {
                co_await all.come();
                if (self.index() == failing) throw std::runtime_error("shard " + std::to_string(failing));
                co_await cove::sleep_for(1h);
            } catch (const cove::canceled& reason) {
                why = reason.what();
            }
            CHECK(why == "canceled by the failure of another shard");
            co_await cove::shield(cove::sleep_for(1ms));
            ++canceled;
            throw std::logic_error("too late to matter");
        };
        const std::string expected = "shard " + std::to_string(failing);
        CHECK_THROWS_WITH_AS(cove::run_sharded(3, body, plain()), expected.c_str(), std::runtime_error);
        CHECK(canceled == 2);
    }
}

TEST_CASE("a main that throws before it is a coroutine fails like any other") {
    const auto body = [](shard& self) -> task<> {
        if (self.index() == 1) throw std::runtime_error("at once");
        return []() -> task<> { co_await cove::sleep_for(1h); }();
    };
    CHECK_THROWS_WITH_AS(cove::run_sharded(2, body, plain()), "at once", std::runtime_error);
}

TEST_CASE("a main that ends by a cancellation of its own is a failure") {
    const auto body = [](shard& self) -> task<> {
        if (self.index() == 1) cove::loop::current().root_scope().cancel();
        co_await cove::sleep_for(1h);
    };
    CHECK_THROWS_AS(cove::run_sharded(2, body, plain()), cove::canceled);
}

TEST_CASE("a shard that waits for what others post is no deadlock while one of them lives") {
    for (int round = 0; round < 200 / test::scale; ++round) {
        run_shards(2, [&](shard& self) -> task<> {
            static thread_local cove::event* told = nullptr;
            static std::atomic<bool> listening{false};
            if (self.index() == 0) {
                cove::event here;
                told = &here;
                listening = true;
                co_await here.wait();
                listening = false;
            } else {
                while (!listening) co_await cove::yield();
                self.post(0, [] { told->set(); });
            }
        });
    }
}

TEST_CASE("a shard that nobody can wake any more, the others having ended, is a deadlock") {
    for (unsigned waiting = 0; waiting < 2; ++waiting) {
        std::string text;
        try {
            cove::run_sharded(
                2,
                [&](shard& self) -> task<> {
                    cove::wait_queue nobody("a word from the other shard");
                    if (self.index() == waiting) co_await nobody.wait();
                },
                plain());
        } catch (const cove::deadlock_error& error) {
            text = error.what();
        }
        CHECK(text.find("a word from the other shard") != std::string::npos);
    }
}

TEST_CASE("a channel made beforehand serves all shards") {
    constexpr unsigned count = 4;
    constexpr int items = 1000;
    cove::remote_channel<int> work(16);
    cove::remote_channel<int> done(16);
    std::atomic<unsigned> workers{count - 1};
    long sum = 0;
    run_shards(count, [&, work, done](shard& self) mutable -> task<> {
        if (self.index() == 0) {
            cove::task_group feeder;
            feeder.spawn([&work]() -> task<> {
                for (int i = 1; i <= items; ++i) co_await work.send(i);
                work.close();
            });
            while (const std::optional<int> item = co_await done.receive()) sum += *item;
            co_await feeder.join();
        } else {
            while (const std::optional<int> item = co_await work.receive()) co_await done.send(2 * *item);
            if (--workers == 0) done.close();
        }
    });
    CHECK(sum == long{items} * (items + 1));
}

TEST_CASE("every shard reads every shard's counters, and their sum") {
    meeting busy(3);
    meeting seen(3);
    run_shards(3, [&](shard& self) -> task<> {
        for (unsigned i = 0; i < 100 * (self.index() + 1); ++i) co_await cove::yield();
        co_await busy.come();
        std::uint64_t turns = 0;
        for (unsigned i = 0; i < 3; ++i) {
            CHECK(self.counters(i).turns >= 100 * (i + 1));
            CHECK(self.counters(i).resumes >= 100 * (i + 1));
            turns += self.counters(i).turns;
        }
        CHECK(self.counters().turns >= turns);
        co_await seen.come();
    });
}

TEST_CASE("a signal cancels the main of every shard, and those that end by it have ended in order") {
    for (const int signo : {SIGINT, SIGTERM}) {
        const auto served = [signo] {
            meeting all(4);
            std::atomic<int> cleaned_up{0};
            const int status = cove::run_sharded(4, [&](shard& self) -> task<> {
                if (self.index() == 3) co_return;  // one that has ended already
                try {
                    if (self.index() == 2) ::raise(signo);  // while some may only be starting
                    co_await cove::sleep_for(1h);
                } catch (const cove::canceled&) {
                    ++cleaned_up;
                    throw;
                }
            });
            return status == 0 && cleaned_up == 3 ? 7 : 1;
        };
        for (int round = 0; round < 20; ++round) CHECK(test::in_child(served).status == 7);
    }
}

TEST_CASE("a second signal ends the process as it would without cove") {
    const auto served = [] {
        std::atomic<int> stopping{0};
        return cove::run_sharded(3, [&](shard& self) -> task<> {
            if (self.index() == 0) ::raise(SIGTERM);
            try {
                co_await cove::sleep_for(1h);
            } catch (const cove::canceled&) {
            }
            ++stopping;
            if (self.index() != 0) co_await cove::shield(cove::sleep_for(1h));
            // In another turn of each loop its interest in signals has ended.
            while (stopping < 3) co_await cove::shield(cove::sleep_for(1ms));
            for (;;) {
                ::raise(SIGTERM);
                co_await cove::shield(cove::sleep_for(1ms));
            }
        });
    };
    CHECK(test::in_child(served).status == -SIGTERM);
}

TEST_CASE("by the options the signals are left alone") {
    const auto served = [] {
        return cove::run_sharded(
            2,
            [&](shard& self) -> task<> {
                if (self.index() == 1) ::raise(SIGTERM);
                co_await cove::sleep_for(1h);
            },
            plain());
    };
    CHECK(test::in_child(served).status == -SIGTERM);
}

TEST_CASE("shards come and go many times, one run after another") {
    for (int round = 0; round < 300 / test::scale; ++round) {
        std::atomic<unsigned> posted{0};
        run_shards(3, [&](shard& self) -> task<> {
            for (unsigned to = 0; to < 3; ++to)
                if (!self.post(to, [&posted] { ++posted; })) ++posted;
            if (round % 3 == 0) co_await cove::yield();
        });
        CHECK(posted <= 9);
    }
}

TEST_CASE("a misuse names the rule") {
    const test::child_end seen = test::in_child([] {
        const auto inside = []() -> task<> {
            cove::run_sharded(1, [](shard&) -> task<> { co_return; });
            co_return;
        };
        return cove::run(inside());
    });
    CAPTURE(seen.said);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.said.find("run_sharded() was called inside a running loop") != std::string::npos);
}
