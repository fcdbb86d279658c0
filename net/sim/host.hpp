// One machine of a simulated world: its kernel, its clock, and the program that runs on it.

#pragma once

#include <cove/net/sim/faults.hpp>
#include <cove/net/sim/kernel.hpp>
#include <cove/runtime/stepped_run.hpp>
#include <cove/runtime/task.hpp>

#include <exception>
#include <functional>
#include <optional>
#include <string>

namespace cove::sim {

class world;

struct host_options {
    host_options() noexcept {}

    // Further addresses, beside the ones that every host is given ("192.168.0.7", "fd00::7").
    std::vector<std::string> addresses;
    // What the host's clock shows when the world begins, and by how many billionths it goes too fast.
    duration clock_offset{};
    std::int64_t clock_drift_ppb = 0;
    // How many descriptors its process may have, stdin, stdout and stderr among them.
    int descriptors_max = 1024;
    // Faults that are drawn pass it by: for the programs that check the others.
    bool immune = false;
    // Faults that are drawn may crash it and kill its process, to be started again after a while.
    bool may_crash = false;
};

// What happens to a host on request happens as soon as the turn that is being made, by whichever host, is over.
class host final : private kernel::sleeper {
public:
    host(const host&) = delete;
    host& operator=(const host&) = delete;

    const std::string& name() const noexcept { return name_; }

    // Its IPv4 address, as text, with the port if one is given: "10.0.0.1:8080".
    std::string address(int port = 0) const;

    // Its kernel: for calls made directly, and for cove::run() on a world that has one program only.
    cove::kernel& os() noexcept { return kernel_; }

    bool is_running() const noexcept { return run_.has_value(); }
    // How often its program has been started, and how often its loop has turned.
    unsigned starts() const noexcept { return starts_; }
    std::uint64_t turns() const noexcept { return turns_; }

    // The power goes: its program ends as if it had never been, nobody is told, and packets for it wait. It is off until
    // restart().
    void crash();
    // The process is killed: its kernel closes what it had open.
    void kill();
    // Starts its program again, if it has one and the clients have not ended; a host that was off has forgotten everything.
    void restart();
    // The process stands still for so long, while the kernel goes on.
    void pause(duration length);
    // The host's clock leaps forward, as after a suspension.
    void jump_clock(duration by);
    // Sends the process a signal. What nobody subscribed to ends it, if it is SIGINT, SIGTERM or SIGKILL.
    void signal(int signo);
    // The next so many opportunities for this fault are taken. Not for those that befall hosts and networks.
    void inject(fault kind, unsigned times = 1);
    // Resets all of its connections.
    void reset_connections();
    void set_descriptors_max(int count) noexcept { kernel_.set_descriptors_max(count); }

private:
    friend class world;

    host(world& home, std::string name, std::function<task<>()> main, const host_options& options, unsigned index);

    void wake() override;
    void schedule(time_point when);
    void ring();
    void start();
    void step();
    void end_program(bool by_itself);
    void note(const char* what, std::int64_t value = 0) noexcept;

    world& world_;
    const std::string name_;
    const std::function<task<>()> main_;
    const bool may_crash_;
    detail::machine machine_;
    kernel kernel_;
    std::optional<stepped_run> run_;
    bool is_client_ = false;
    bool is_stepping_ = false;
    unsigned starts_ = 0;
    std::uint64_t turns_ = 0;
    std::uint64_t turns_awake_ = 0;  // since it last had nothing to do
    long allocations_spared_ = -1;   // before the one that fails; negative: none does
    time_point scheduled_at_ = time_point::max();
    std::vector<time_point> alarms_;  // in the agenda, the earliest last; one is no later than scheduled_at_
    time_point busy_until_{};
    time_point paused_until_{};
};

}  // namespace cove::sim
