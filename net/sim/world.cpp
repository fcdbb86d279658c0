#include <cove/net/sim/world.hpp>

#include <cove/net/buffer.hpp>
#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/frames.hpp>
#include <cove/runtime/task.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <new>
#include <system_error>
#include <utility>

namespace cove::sim {

using namespace std::chrono_literals;

world::world(const plan& which, const world_options& options)
    : plan_(which),
      options_(options),
      all_(which.seed),
      network_(all_, options.latency_min, options.latency_max),
      frames_before_(frames_alive()) {
    // Which allocation fails must not depend on what earlier runs have left in the caches of this thread.
    free_cached_frames();
    buffer::free_cached();
    all_.rates = options.faults;
    all_.failing = which.failing;
    all_.recorded_calls = which.calls;
    all_.fail_allocation = options.fail_allocation;
    all_.trace.print_to(which.trace);
    errors_allowed_ = which.failing.nth > 0;
}

world::~world() {
    if (plan_.into != nullptr) {
        totals own;
        own.runs = 1;
        own.time = time();
        own.events = all_.trace.events();
        own.calls = all_.calls;
        for (const auto& each : hosts_) own.turns += each->turns();
        own.faults = all_.fired;
        own.fingerprint = all_.trace.fingerprint();
        *plan_.into += own;
    }
    for (const auto& each : hosts_)
        if (each->is_running()) each->end_program(false);
    all_.agenda.clear();  // what is still under way refers to the hosts
}

totals& totals::operator+=(const totals& others) noexcept {
    runs += others.runs;
    time += others.time;
    events += others.events;
    calls += others.calls;
    turns += others.turns;
    faults += others.faults;
    fingerprint = others.fingerprint;
    return *this;
}

std::string to_string(const plan& which) {
    std::string text = "seed " + std::to_string(which.seed);
    if (which.failing.nth > 0)
        text +=
            ", call " + std::to_string(which.failing.nth) + " fails with errno " + std::to_string(which.failing.error);
    return text;
}

sim::host& world::add(std::string name, std::function<task<>()> main, const host_options& options) {
    const auto index = static_cast<unsigned>(hosts_.size());
    hosts_.emplace_back(new sim::host(*this, std::move(name), std::move(main), options, index));
    return *hosts_.back();
}

sim::host& world::host(std::string name, std::function<task<>()> main, const host_options& options) {
    return add(std::move(name), std::move(main), options);
}

sim::host& world::client(std::string name, std::function<task<>()> main, const host_options& options) {
    sim::host& added = add(std::move(name), std::move(main), options);
    added.is_client_ = true;
    return added;
}

void world::run() {
    // Servers have had their first turn, and listen, before the first client comes.
    constexpr duration servers_by = 10us, clients_within = 1ms;
    const duration clients_from = servers_by + options_.turn_max + 1ns;
    bool has_clients = false;
    for (const auto& each : hosts_) {
        if (!each->main_) continue;
        has_clients = has_clients || each->is_client_;
        const duration wait = each->is_client_ ? clients_from + all_.choices.between(duration::zero(), clients_within)
                                               : all_.choices.between(duration::zero(), servers_by);
        after(wait, [&begun = *each] {
            if (!begun.is_running() && begun.machine_.up) begun.start();
        });
    }
    schedule_disasters();
    const auto some_run = [&] {
        return std::any_of(hosts_.begin(), hosts_.end(), [](const auto& each) { return each->is_running(); });
    };
    pass(clients_from + clients_within);
    step_until([&] { return has_clients ? clients_running_ == 0 : !some_run(); });

    disasters_over_ = is_ending_ = true;
    network_.heal_all();
    for (const auto& each : hosts_)
        if (each->is_running()) each->signal(SIGTERM);
    step_until([&] { return !some_run(); });
    is_ending_ = false;
    if (!failure_.empty()) fail(failure_);
    if (frames_alive() != frames_before_)
        fail(std::to_string(frames_alive() - frames_before_) + " coroutine frames are left");
}

void world::step_until(const std::function<bool()>& done) {
    while (!done()) {
        if (!failure_.empty()) fail(failure_);
        if (all_.agenda.empty()) fail("nothing can happen any more:\n" + describe_waiting());
        if (all_.agenda.next() > time_point(options_.time_max)) fail("it hangs:\n" + describe_waiting());
        all_.step();
    }
}

void world::pass(duration length) {
    const time_point end = add_clamped(all_.now, length);
    while (!all_.agenda.empty() && all_.agenda.next() <= end) {
        if (!failure_.empty()) fail(failure_);
        all_.step();
    }
    all_.now = std::max(all_.now, end);
}

void world::after(duration wait, std::function<void()> what) { all_.after(wait, std::move(what)); }

void world::check_program_end(const sim::host& ended, const std::exception_ptr& thrown) {
    if (thrown == nullptr) return;
    try {
        std::rethrow_exception(thrown);
    } catch (const deadlock_error& error) {
        note_failure(ended.name() + ": " + error.what());
    } catch (const std::system_error& error) {
        if (!errors_allowed_) note_failure(ended.name() + " ended with: " + error.what());
    } catch (const std::bad_alloc&) {
        if (!errors_allowed_) note_failure(ended.name() + " ended with std::bad_alloc");
    } catch (const std::exception& error) {
        note_failure(ended.name() + " ended with: " + error.what());
    } catch (...) {
        note_failure(ended.name() + " ended with an exception that is no std::exception");
    }
}

void world::left_open(const sim::host& ended, const std::string& descriptors) {
    note_failure(ended.name() + " left open:" + descriptors);
}

void world::spins(const sim::host& awake) {
    note_failure(awake.name() + " spins: its loop is never without something to do:\n" + describe_waiting());
}

// The first failure is the one that tells most.
void world::note_failure(const std::string& why) {
    if (failure_.empty()) failure_ = why;
}

void world::fail(const std::string& why) const {
    throw failed_run(why + "\n" + to_string(plan_) + "; the last events:\n" + all_.trace.last());
}

std::string world::describe_waiting() const {
    std::string text;
    for (const auto& each : hosts_)
        if (each->run_) text += each->name() + ":\n" + async_stacks(each->run_->loop().root_scope());
    return text;
}

void world::partition(sim::host& one, sim::host& other) {
    partition_one_way(one, other);
    partition_one_way(other, one);
}

void world::partition_one_way(sim::host& from, sim::host& to) {
    all_.trace.add({all_.now, from.name().c_str(), "cut off from", {}, {}, 0, to.name().c_str()});
    network_.cut(from.kernel_.tcp(), to.kernel_.tcp());
}

void world::heal(sim::host& one, sim::host& other) {
    heal_one_way(one, other);
    heal_one_way(other, one);
}

void world::heal_one_way(sim::host& from, sim::host& to) {
    all_.trace.add({all_.now, from.name().c_str(), "reaches again", {}, {}, 0, to.name().c_str()});
    network_.heal(from.kernel_.tcp(), to.kernel_.tcp());
}

void world::heal_all() { network_.heal_all(); }

void world::set_latency(sim::host& from, sim::host& to, duration least, duration most) {
    detail::link& way = network_.between(from.kernel_.tcp(), to.kernel_.tcp());
    way.latency_min = least;
    way.latency_max = most;
}

void world::set_bandwidth(sim::host& from, sim::host& to, double bytes_per_second) {
    network_.between(from.kernel_.tcp(), to.kernel_.tcp()).bytes_per_second = bytes_per_second;
}

void world::reset_connections(sim::host& one, sim::host& other) {
    after(duration::zero(), [this, &one, &other] {
        all_.trace.add({all_.now, one.name().c_str(), "connections reset with", {}, {}, 0, other.name().c_str()});
        one.kernel_.tcp().abort_connections(&other.kernel_.tcp());
    });
}

}  // namespace cove::sim
