#include <cove/net/sim/host.hpp>

#include <cove/net/address.hpp>
#include <cove/net/sim/world.hpp>

#include <algorithm>
#include <csignal>
#include <utility>

namespace cove::sim {
namespace {

constexpr std::uint64_t hosts_max = 62'500;
constexpr std::uint64_t turns_awake_max = 1'000'000;
constexpr std::uint64_t allocations_spared_max = 30;

detail::endpoint read_address(const std::string& text) {
    const cove::address parsed = cove::address::parse(text.find(':') == text.npos ? text + ":0" : '[' + text + "]:0");
    detail::endpoint read;
    detail::read_endpoint(parsed.family(), parsed.data(), parsed.size(), read);
    return read;
}

// 10.x.y.z and fd00::n, from the first host's 10.0.0.1 and fd00::1 on.
std::vector<detail::endpoint> addresses_of(unsigned index, const host_options& options) {
    constexpr std::uint64_t v4_base = 0xffff'0a00'0000, hosts_per_net = 250;
    std::vector<detail::endpoint> all;
    all.push_back({0, v4_base + (index / hosts_per_net << 8) + index % hosts_per_net + 1, 0});
    all.push_back({std::uint64_t{0xfd00} << 48, index + std::uint64_t{1}, 0});
    for (const std::string& further : options.addresses) all.push_back(read_address(further));
    return all;
}

}  // namespace

host::host(world& home, std::string name, std::function<task<>()> main, const host_options& options, unsigned index)
    : world_(home),
      name_(std::move(name)),
      main_(std::move(main)),
      may_crash_(options.may_crash),
      machine_{name_.c_str(), index, options.immune, true, {}},
      kernel_(home.all_, home.network_, machine_, addresses_of(index, options)) {
    static_assert(hosts_max <= 250 * 250);
    kernel_.set_clock(options.clock_offset, options.clock_drift_ppb);
    kernel_.set_descriptors_max(options.descriptors_max);
    kernel_.tcp().defaults.send_buffer = home.options_.send_buffer;
    kernel_.tcp().defaults.receive_buffer = home.options_.receive_buffer;
}

std::string host::address(int port) const {
    const auto own = kernel_.tcp().addresses().front().with_port(static_cast<std::uint16_t>(port));
    const std::string text = to_string(own);
    return port != 0 ? text : text.substr(0, text.rfind(':'));
}

void host::note(const char* what, std::int64_t value) noexcept {
    world_.all_.trace.add({world_.all_.now, name_.c_str(), what, {}, {}, value, ""});
}

void host::wake() {
    if (!is_stepping_ && run_) schedule(std::max(world_.all_.now, busy_until_));
}

void host::schedule(time_point when) {
    if (scheduled_at_ <= when) return;
    scheduled_at_ = when;
    if (!alarms_.empty() && alarms_.back() <= when) return;  // which looks then what is scheduled
    alarms_.push_back(when);
    world_.all_.agenda.at(when, [this] { ring(); });
}

// The agenda forgets nothing: an alarm that is too early by now makes way for the next one, so that there are few.
void host::ring() {
    alarms_.pop_back();
    const time_point when = std::exchange(scheduled_at_, time_point::max());
    when <= world_.all_.now ? step() : schedule(when);
}

void host::start() {
    ++starts_;
    if (is_client_) ++world_.clients_running_;
    note("start", starts_);
    kernel_.begin_step(*this);
    is_stepping_ = true;
    try {
        run_.emplace(kernel_);
        run_->start(main_);
        is_stepping_ = false;
        kernel_.end_step();
    } catch (...) {
        kernel_.end_step();
        run_.reset();
        end_program(true);
        world_.check_program_end(*this, std::current_exception());
        return;
    }
    schedule(world_.all_.now + world_.all_.choices.between(duration::zero(), world_.options_.turn_max));
}

void host::step() {
    detail::universe& all = world_.all_;
    if (!run_) return;
    if (all.now < paused_until_) return schedule(paused_until_);
    kernel_.begin_step(*this);
    // Where a turn makes too few allocations for one to fail, those of the next ones count on.
    if (allocations_spared_ < 0 && all.fail_allocation != nullptr && all.strikes(fault::no_allocation, machine_))
        allocations_spared_ = static_cast<long>(all.choices.below(allocations_spared_max));
    all.allocation_fails = allocations_spared_ >= 0;
    if (all.allocation_fails) all.fail_allocation(allocations_spared_);
    is_stepping_ = true;
    std::size_t resumed = 0;
    std::exception_ptr thrown;
    try {
        resumed = run_->turn();
    } catch (...) {
        thrown = std::current_exception();
    }
    is_stepping_ = false;
    kernel_.end_step();
    if (std::exchange(all.allocation_fails, false)) allocations_spared_ = all.fail_allocation(-1);
    ++turns_;
    note("turn", static_cast<std::int64_t>(resumed));
    if (thrown != nullptr || run_->has_ended()) {
        if (thrown == nullptr) try {
                run_->finish();
            } catch (...) {
                thrown = std::current_exception();
            }
        end_program(true);
        return world_.check_program_end(*this, thrown);
    }
    busy_until_ = all.now + all.choices.between(duration::zero(), world_.options_.turn_max);
    if (resumed > 0 || kernel_.has_ready_events() || kernel_.sleeps_until() <= all.now) {
        if (++turns_awake_ > turns_awake_max) return world_.spins(*this);
        return schedule(busy_until_);
    }
    turns_awake_ = 0;
    if (kernel_.sleeps_until() != time_point::max()) schedule(std::max(kernel_.sleeps_until(), busy_until_));
}

// Its frames are destroyed first, or the descriptors that they own are closed behind their back.
void host::end_program(bool by_itself) {
    note(by_itself ? "end" : "stopped");
    is_stepping_ = true;
    if (by_itself) run_.reset();
    std::string left_open = by_itself ? kernel_.describe_open() : std::string();
    kernel_.close_all();
    run_.reset();
    is_stepping_ = false;
    scheduled_at_ = time_point::max();
    paused_until_ = busy_until_ = {};
    turns_awake_ = 0;
    allocations_spared_ = -1;
    if (is_client_) --world_.clients_running_;
    if (!left_open.empty()) world_.left_open(*this, left_open);
}

void host::crash() {
    world_.after(duration::zero(), [this] {
        if (!machine_.up) return;
        note("crash");
        machine_.up = false;
        kernel_.lose_power();
        if (run_) end_program(false);
    });
}

void host::kill() {
    world_.after(duration::zero(), [this] {
        if (run_) end_program(false);
    });
}

void host::restart() {
    world_.after(duration::zero(), [this] {
        if (run_) end_program(false);
        machine_.up = true;
        world_.network_.power_returns(kernel_.tcp());
        if (main_ && !world_.is_ending_) start();
    });
}

void host::pause(duration length) {
    world_.after(duration::zero(), [this, length] {
        note("pause", length.count());
        paused_until_ = std::max(paused_until_, add_clamped(world_.all_.now, length));
    });
}

void host::jump_clock(duration by) {
    world_.after(duration::zero(), [this, by] {
        note("clock jumps", by.count());
        kernel_.jump_clock(by);
        wake();
    });
}

void host::signal(int signo) {
    world_.after(duration::zero(), [this, signo] {
        note("signal", signo);
        const bool fatal = signo == SIGINT || signo == SIGTERM || signo == SIGKILL;
        if (!kernel_.raise(signo) && fatal && run_) end_program(false);
    });
}

void host::inject(fault kind, unsigned times) { machine_.ordered[static_cast<std::size_t>(kind)] += times; }

void host::reset_connections() {
    world_.after(duration::zero(), [this] {
        note("connections reset");
        kernel_.tcp().abort_connections(nullptr);
    });
}

}  // namespace cove::sim
