// A simulated world: hosts that run ordinary cove programs, a network between them, time that jumps from event to event,
// and faults. One thread; everything that could come out in more than one way is drawn from the seed, so that a run can
// be repeated bit for bit.
//
//     cove::sim::world world(seed);
//     cove::sim::host& server = world.host("server", [] { return serve_forever(":8080"); });
//     world.client("client", [&] { return talk_to(server.address(8080)); });
//     world.run();
//
// See docs/simulation.md.

#pragma once

#include <cove/net/sim/host.hpp>
#include <cove/net/sim/plan.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cove::sim {

struct world_options {
    world_options() noexcept {}

    fault_rates faults;
    // How long a packet takes; drawn for each. Loopback is quicker.
    duration latency_min = std::chrono::microseconds(50);
    duration latency_max = std::chrono::milliseconds(1);
    // How long a turn of a loop takes at most; zero: no time.
    duration turn_max = std::chrono::microseconds(10);
    // What sockets begin with, in bytes.
    std::size_t send_buffer = 87040;
    std::size_t receive_buffer = 131072;
    // A run that takes longer, by the world's time, hangs.
    duration time_max = std::chrono::hours(24);
    // Makes the program's operator new throw after so many others (negative: never), and returns what was left of the
    // count: needed for fault::no_allocation only. See docs/simulation.md.
    long (*fail_allocation)(long after) = nullptr;
};

class world {
public:
    explicit world(const plan& which, const world_options& options = world_options());
    world(const world&) = delete;
    world& operator=(const world&) = delete;
    ~world();

    // Adds a host whose program is the task that main() returns, and that runs until the clients have ended: then it is
    // sent SIGTERM, as run() expects it. Without main it runs nothing; see host::os().
    sim::host& host(std::string name, std::function<task<>()> main = {}, const host_options& options = host_options());
    // Adds a host whose program the run is for: it ends with the last of them.
    sim::host& client(std::string name, std::function<task<>()> main, const host_options& options = host_options());

    // Starts all programs and lets time pass until they have ended. Throws failed_run, with the seed and the last events:
    // when a program throws, hangs, spins, or leaves a descriptor open or a coroutine behind.
    void run();

    // Lets so much time pass.
    void pass(duration length);

    // The time since the world began, as no host's clock shows it.
    duration time() const noexcept { return all_.now.time_since_epoch(); }
    generator& choices() noexcept { return all_.choices; }
    const fault_counts& faults() const noexcept { return all_.fired; }
    const sim::trace& trace() const noexcept { return all_.trace; }
    std::uint64_t calls() const noexcept { return all_.calls; }

    // From now on the errors that programs end with are part of the order of things; what is not a std::system_error or
    // std::bad_alloc still fails the run.
    void allow_errors() noexcept { errors_allowed_ = true; }

    // The network, directly. One way: what from sends to to.
    void partition(sim::host& one, sim::host& other);
    void partition_one_way(sim::host& from, sim::host& to);
    void heal(sim::host& one, sim::host& other);
    void heal_one_way(sim::host& from, sim::host& to);
    void heal_all();
    void set_latency(sim::host& from, sim::host& to, duration least, duration most);
    void set_bandwidth(sim::host& from, sim::host& to, double bytes_per_second);
    void reset_connections(sim::host& one, sim::host& other);

    // Calls what() when so much time has passed.
    void after(duration wait, std::function<void()> what);

private:
    friend class sim::host;

    sim::host& add(std::string name, std::function<task<>()> main, const host_options& options);
    void step_until(const std::function<bool()>& done);
    void schedule_disasters();
    void schedule_disaster(fault kind);
    void strike_world(fault kind);
    void cut_off(fault kind);
    void cut_off_for(duration length, sim::host& from, sim::host& to);
    sim::host* draw_host(bool that_may_crash);
    void check_program_end(const sim::host& ended, const std::exception_ptr& thrown);
    void left_open(const sim::host& ended, const std::string& descriptors);
    void spins(const sim::host& awake);
    void note_failure(const std::string& why);
    [[noreturn]] void fail(const std::string& why) const;
    std::string describe_waiting() const;

    const plan plan_;
    const world_options options_;
    detail::universe all_;
    detail::network network_;
    std::vector<std::unique_ptr<sim::host>> hosts_;
    const long frames_before_;
    std::size_t clients_running_ = 0;
    bool disasters_over_ = false;
    bool is_ending_ = false;  // what still runs was sent SIGTERM
    bool errors_allowed_ = false;
    std::string failure_;  // noticed inside an event, thrown after it
};

}  // namespace cove::sim
