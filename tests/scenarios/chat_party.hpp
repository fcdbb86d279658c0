// The party that is in the chat room: who comes, how each behaves, and what may go wrong, all of it drawn; and when a
// connection may end.

#pragma once

#include "chat_model.hpp"

#include <cove/net/sim/world.hpp>

#include <csignal>

namespace chat_model {

using namespace std::chrono_literals;
using cove::sim::fault;

enum class profile : unsigned char { calm, harmless, hostile };
enum class leaving : unsigned char { quit, finish, close, reset, stay, too_long, silence, cut_short };

// How a client behaves during one connection.
struct manners {
    int lines = 0;
    int pause_max_ms = 0;
    std::size_t length_max = 0;
    leaving leaves = leaving::quit;
    std::size_t stops_after = never_stops;  // so many lines it reads no more
    duration stops_for{};
    duration reads_every{};  // zero: at once
    static constexpr std::size_t never_stops = static_cast<std::size_t>(-1);
};

struct party {
    party(const cove::sim::plan& which, cove::sim::generator& draw);

    cove::sim::world_options options();
    strictness how_strict() const;
    manners draw_manners();
    void now_waits();
    void check_end(const connection& ended) const;
    std::size_t lines_for(const connection& to) const;
    duration now() const { return world->time(); }
    // Nothing may fail.
    bool is_strict() const { return kind != profile::hostile && !a_call_fails; }

    cove::sim::generator& draw;
    bool is_sweep;
    bool a_call_fails;
    profile kind;
    bool floods;     // few talk very much, and one of them does not listen
    bool is_narrow;  // sockets have the smallest buffers
    bool has_few_descriptors;
    std::size_t clients;
    duration latency_max;
    double rate;
    room_model model;
    cove::sim::world* world = nullptr;
    cove::sim::host* server = nullptr;
    unsigned rooms = 0;       // how often the server has been started
    std::size_t talking = 0;  // clients who do not wait for the shutdown yet
    duration jumped{};        // of the server's clock, in harmless runs
};

inline party::party(const cove::sim::plan& which, cove::sim::generator& drawn)
    : draw(drawn),
      is_sweep(which.failing.nth > 0 || which.calls != nullptr),
      a_call_fails(which.failing.nth > 0),
      kind(static_cast<profile>(draw.below(3))),
      floods(draw.chance(0.03)),
      is_narrow(draw.chance(0.2)),
      has_few_descriptors(draw.chance(0.1)),
      clients(2 + draw.below(draw.between(1, 8))),
      latency_max(1ms * (1 << draw.below(7))),
      rate(0.001 * static_cast<double>(1 << draw.below(7))) {
    if (draw.chance(0.05)) clients = draw.between(10, 60);
    if (draw.chance(0.04)) clients = 200;
    if (clients > 60) floods = false;
    if (floods) {
        clients = draw.between(4, 5);
        has_few_descriptors = false;
    }
    if (clients > 20) is_narrow = false;
    // In calm runs what is slow must be the readers.
    if (kind == profile::calm && (is_narrow || floods)) latency_max = 1ms;
    // Each of its calls fails in turn: so few, and short.
    if (is_sweep) {
        kind = profile::calm;
        floods = has_few_descriptors = false;
        clients = 2;
    }
    talking = clients;
    model.how = how_strict();
}

inline strictness party::how_strict() const {
    strictness how;
    how.faults_allowed = !is_strict();
    // A crowd behind one narrow link is told as fast as that carries it.
    if (kind == profile::calm && !a_call_fails) how.delay_max = clients > 20 ? 5s : 700ms;
    return how;
}

inline cove::sim::world_options party::options() {
    cove::sim::world_options chosen;
    chosen.latency_max = latency_max;
    if (is_narrow) chosen.send_buffer = 4608, chosen.receive_buffer = 2304;
    if (floods) chosen.receive_buffer = 16384;
    if (kind == profile::harmless) {
        chosen.faults.set_harmless(rate);
        chosen.faults.set(fault::pause, 0.2).set(fault::partition, 0.1).set(fault::one_way_partition, 0.1);
    }
    if (kind == profile::hostile) {
        chosen.faults.set_all_calls(rate / 4);
        for (const fault each :
             {fault::partition, fault::one_way_partition, fault::crash, fault::kill, fault::pause, fault::clock_jump})
            chosen.faults.set(each, 0.1);
        // What excuses nothing is checked the harder.
        for (std::size_t i = 0; i < cove::sim::fault_count; ++i)
            if (draw.chance(0.4)) chosen.faults.set(static_cast<fault>(i), 0);
    }
    return chosen;
}

inline manners party::draw_manners() {
    manners drawn;
    drawn.lines = static_cast<int>(draw.below(is_sweep ? 3 : clients > 60 ? 4 : 24));
    drawn.pause_max_ms = 1 << draw.below(11);
    drawn.length_max = draw.chance(0.2) ? 900 : 80;
    if (draw.chance(0.1)) {
        drawn.stops_after = draw.below(30);
        drawn.stops_for = draw.between(100ms, 40s);
    }
    if (draw.chance(0.03)) drawn.reads_every = draw.between(1ms, 20ms);
    constexpr leaving ways[] = {leaving::quit,  leaving::quit, leaving::quit,     leaving::quit,     leaving::finish,
                                leaving::close, leaving::stay, leaving::stay,     leaving::stay,     leaving::reset,
                                leaving::stay,  leaving::stay, leaving::too_long, leaving::cut_short};
    drawn.leaves = draw.chance(clients > 8 ? 0 : 0.02) ? leaving::silence : ways[draw.below(std::size(ways))];
    // Who waits outside for a place must get one.
    if (has_few_descriptors && (drawn.leaves == leaving::stay || drawn.leaves == leaving::silence))
        drawn.leaves = leaving::quit;
    return drawn;
}

inline manners draw_flood(party& all, bool listens) {
    manners drawn = all.draw_manners();
    drawn.length_max = 240;
    drawn.leaves = leaving::stay;
    drawn.lines = 1000;
    drawn.pause_max_ms = 10;
    drawn.stops_after = manners::never_stops;
    drawn.reads_every = {};
    if (listens) return drawn;
    drawn.lines = 0;
    drawn.stops_after = all.draw.between(1, 20);
    drawn.stops_for = all.draw.between(30s, 60s);
    return drawn;
}

// The last one who has nothing more to say shuts the server down; the others wait for that.
inline void party::now_waits() {
    if (--talking > 0) return;
    for (connection& each : model.connections)
        if (each.expected == goodbye::shutting_down && each.ended_at == never) each.leaves_at = now();
    server->signal(SIGTERM);
}

// How many lines it should have been told, at least.
inline std::size_t party::lines_for(const connection& to) const {
    std::size_t count = 0;
    for (const connection& each : model.connections)
        for (const sent_line& line : each.lines)
            count += &each != &to && line.sent > to.welcome_at && line.known < to.ended_at;
    return count;
}

// A connection must end as its client has asked for, unless there is a reason.
inline void party::check_end(const connection& ended) const {
    if (ended.closes || ended.ended_at == never) return;
    // More was not told than an outbox holds, and lines are short: the reason had room in the kernel's buffers.
    constexpr std::size_t outbox_messages = 1024 + 64;
    if (floods && kind == profile::calm && ended.slow && !is_narrow && is_strict())
        if (lines_for(ended) > ended.told.size() + outbox_messages)
            if (ended.said != goodbye::too_slow || !ended.end_of_stream)
                model.violated(ended, "not told that it is too slow", ended.partial);
    const auto& faults = world->faults();
    const bool reads = kind == profile::calm && !ended.slow && is_strict();
    const bool may_be_slow = model.may_overflow() && !reads;
    if (ended.said == ended.expected && ended.said != goodbye::none && ended.end_of_stream) {
        if (floods && reads && ended.ended_at - ended.leaves_at > 1s)
            model.violated(ended, "left late", std::to_string((ended.ended_at - ended.leaves_at).count()));
        return;
    }
    if (ended.said == goodbye::too_slow && may_be_slow) return;
    // Ten minutes of the server's clock.
    if (ended.said == goodbye::silence && ended.quiet_since != never &&
        ended.ended_at - ended.quiet_since + jumped >= 595s)
        return;
    // outbox::finish() gives up after two seconds of the server's clock.
    constexpr duration patience = 1990ms;
    const duration silent = ended.expected == goodbye::silence ? duration(595s) : duration::zero();
    const bool tired =
        ended.leaves_at != never && ended.ended_at - ended.leaves_at - silent + jumped >= patience && !reads;
    const bool fits = ended.said == goodbye::none || ended.said == ended.expected;
    if (fits && may_be_slow) return;
    if (fits && tired && (ended.end_of_stream || ended.expected == goodbye::too_long)) return;
    if (!is_strict()) {
        if (a_call_fails || !ended.end_of_stream || ended.said == goodbye::error) return;
        if (faults[fault::no_buffers] + faults[fault::no_memory] + faults[fault::clock_jump] > 0) return;
        if (ended.said == goodbye::none && !ended.room_lives) return;
    }
    const std::string how =
        "in run " + std::to_string(static_cast<int>(kind)) + " of room " + std::to_string(ended.room) +
        ", leaving at " + std::to_string(ended.leaves_at.count()) + ", ended at " +
        std::to_string(ended.ended_at.count()) + (ended.end_of_stream ? " by itself" : "") + ", said " +
        std::to_string(static_cast<int>(ended.said)) + ", expected " + std::to_string(static_cast<int>(ended.expected));
    model.violated(ended, "ended without a reason, " + how, ended.partial);
}

}  // namespace chat_model
