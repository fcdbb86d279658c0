// examples/chat_server.cpp, unchanged, with 2 to 200 members who talk, ask, read slowly, leave in every way and come
// again; in a third of the runs nothing goes wrong, in others only what must not be noticed, or whatever can.
// chat_model.hpp says what they must have been told.

// GCC holds that a lambda in an included file is shared by many translation units.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

#include "chat_party.hpp"
#include "scenarios.hpp"

#define main chat_server_main
#include "../../examples/chat_server.cpp"
#undef main

#include <cove/runtime/event.hpp>

namespace {

using namespace chat_model;

// One connection of a client.
struct visit {
    visit(party& at, connection& as, const manners& like, cove::tcp_stream&& over)
        : all(at), me(as), how(like), stream(std::move(over)) {}

    cove::task<> listen();
    cove::task<> talk();
    cove::task<> talk_until_lost();
    cove::task<> write_next(std::string& unsent);
    cove::task<> answers();
    cove::task<> leave();

    party& all;
    connection& me;
    manners how;
    cove::tcp_stream stream;
    cove::event welcomed;
    cove::event answered;
    bool has_waited = false;
    bool is_lost = false;
    unsigned room_before = 0;
    cove::task_group both;
};

cove::task<> visit::listen() {
    cove::line_reader lines(stream, 32 * 1024);
    try {
        for (std::size_t read = 0;; ++read) {
            if (read == how.stops_after) co_await cove::sleep_for(how.stops_for);
            if (how.reads_every > duration::zero()) co_await cove::sleep_for(how.reads_every);
            const auto line = co_await lines.read_line();
            if (!line) break;
            if (me.guest == 0 && room_before == all.rooms) me.room = all.rooms;
            all.model.hear(me, *line, all.now());
            welcomed.set();
            answered.set();
        }
        me.end_of_stream = !is_lost;
    } catch (const std::system_error& error) {
        me.end_of_stream = error.code() == cove::errc::end_of_stream;
        me.partial = me.end_of_stream ? std::string(lines.partial()) : error.what();
    }
    me.ended_at = all.now();
    both.cancel();
}

cove::task<> visit::answers() {
    while (me.answered < me.commands.size()) {
        answered.reset();
        co_await answered.wait();
    }
}

// Several lines may go together.
cove::task<> visit::write_next(std::string& unsent) {
    static constexpr std::string_view letters = "abc defg\thij \xc3\xa9\xe2\x82\xac: * /quit 0123456789 ";
    cove::sim::generator& draw = all.draw;
    const auto ask = [&](command what, std::string text, std::string argument = {}) {
        all.model.ask(me, what, std::move(argument), all.now());
        unsent += text + '\n';
    };
    const std::uint64_t kind = draw.below(40);
    bool waits = false;
    if (kind == 0 || kind == 1) {
        ask(command::who, "/who");
    } else if (kind == 2 || kind == 3) {
        const bool contested = draw.chance(0.3);
        const std::string nick = contested ? "boss" + std::to_string(draw.below(2))
                                           : "n" + std::to_string(me.number) + '-' + std::to_string(me.commands.size());
        ask(command::nick, "/nick " + nick, nick);
        waits = true;  // what it says next it says by a name that is known
    } else if (kind == 4) {
        ask(command::bad_nick, draw.chance(0.5) ? "/nick a b" : "/nick 0123456789012345678901234");
    } else if (kind == 5) {
        ask(command::unknown, "/what");
    } else if (kind == 6) {
        ask(command::binary, "\x01 it is");
    } else if (kind == 7) {
        unsent += "\n";
    } else {
        std::string filling(draw.below(draw.chance(0.9) ? how.length_max / 2 : how.length_max), ' ');
        for (std::size_t i = 0, from = draw.below(letters.size()); i < filling.size(); ++i)
            filling[i] = letters[(from + i) % letters.size()];
        unsent += all.model.say(me, filling, all.now());
        unsent += draw.chance(0.1) ? "\r\n" : "\n";
    }
    if (!waits && draw.chance(0.3)) co_return;
    const std::string data = std::exchange(unsent, {});
    co_await stream.write(data);
    if (waits) co_await answers();
    co_await cove::sleep_for(draw.between(duration::zero(), 1ms * how.pause_max_ms));
}

cove::task<> visit::talk() {
    co_await welcomed.wait();
    std::string unsent;
    for (int i = 0; i < how.lines; ++i) co_await write_next(unsent);
    const bool waits = how.leaves == leaving::stay || all.draw.chance(0.6);
    if (waits) {
        all.model.ask(me, command::who, {}, all.now());
        unsent += "/who\n";
    }
    me.quiet_since = all.now();
    co_await stream.write(unsent);
    if (waits) co_await answers();
    co_await leave();
}

cove::task<> visit::leave() {
    std::string last;
    const auto expect = [this](goodbye what) {
        me.expected = what;
        me.leaves_at = all.now();
    };
    switch (how.leaves) {
        case leaving::quit:
            expect(goodbye::bye);
            last = "/quit\n";
            break;
        case leaving::finish:
            expect(goodbye::bye);
            stream.shutdown_write();
            break;
        case leaving::reset: stream.set_linger(0s); [[fallthrough]];
        case leaving::close:
            me.closes = true;
            stream.close();
            break;
        case leaving::stay:
            me.expected = goodbye::shutting_down;
            has_waited = true;
            all.now_waits();
            break;
        case leaving::too_long:
            expect(goodbye::too_long);
            last.assign(all.draw.between(1100, 3000), 'x');
            break;
        case leaving::silence: expect(goodbye::silence); break;
        case leaving::cut_short:
            expect(goodbye::cut_short);
            last = "but";
            break;
    }
    if (!last.empty()) co_await stream.write(last);
    if (how.leaves == leaving::cut_short) stream.shutdown_write();
}

// An error is told once, to the first who asks: then who reads finds the end of the stream.
cove::task<> visit::talk_until_lost() {
    try {
        co_await talk();
    } catch (const std::system_error&) {
        is_lost = true;
    }
}

// Returns whether the connection was lost.
cove::task<bool> come(party& all, const std::string name, const manners how, bool& has_waited) {
    connection& me = all.model.add(name);
    me.slow = how.stops_after != manners::never_stops || how.reads_every > duration::zero();
    me.connects_at = all.now();
    const unsigned room_before = all.rooms;
    auto connecting = cove::tcp_stream::connect(all.server->address(8080));
    auto stream = co_await cove::timeout(30min, connecting);
    visit here(all, me, how, std::move(stream));
    here.room_before = room_before;
    if (!all.is_strict()) here.stream.set_keep_alive(true);
    here.both.spawn(here.listen());
    here.both.spawn(here.talk_until_lost());
    const auto ended = co_await cove::move_on_after(30min, here.both.join());
    has_waited = here.has_waited;
    if (!ended && all.is_strict()) throw std::logic_error(name + " is still there after half an hour");
    if (!ended) me.closes = true;
    me.room_lives = all.rooms == me.room && all.server->is_running();
    co_return me.said == goodbye::none;
}

cove::task<> take_part(party& all, std::string name) {
    bool has_waited = false;
    co_await cove::sleep_for(all.draw.between(duration::zero(), 1ms * (1 << all.draw.below(13))));
    for (int visits = 0; visits < 4 && !has_waited; ++visits) {
        const manners how = all.floods ? draw_flood(all, name != "client0.0") : all.draw_manners();
        bool lost = true;
        try {
            auto coming = come(all, name, how, has_waited);
            lost = co_await std::move(coming);
        } catch (const std::system_error& error) {
            if (all.is_strict()) throw std::logic_error(name + " could not come: " + error.what());
        }
        if (!all.draw.chance(lost ? 0.7 : 0.2)) break;
        if (!has_waited) co_await cove::sleep_for(all.draw.between(1ms, 5s));
    }
    if (!has_waited) all.now_waits();
}

cove::task<> take_part_all(party& all, std::string host, std::size_t count) {
    cove::task_group group;
    for (std::size_t i = 0; i < count; ++i) group.spawn(take_part(all, host + '.' + std::to_string(i)));
    co_await group.join();
}

// Whatever accepting a connection or a session ends with, the room stays open.
cove::task<> serve_always(party& all) {
    auto listener = cove::tcp_listener::bind(":8080");
    try {
        co_await serve_room(std::move(listener));
    } catch (const std::system_error& error) {
        if (all.a_call_fails) throw;
        throw std::logic_error(std::string("the room is closed: ") + error.what());
    }
}

void add_hosts(party& all, cove::sim::world& in) {
    cove::sim::generator& draw = all.draw;
    const auto draw_clock = [&] {
        cove::sim::host_options drawn;
        drawn.clock_offset = draw.between(0s, 1000000s);
        drawn.clock_drift_ppb = static_cast<std::int64_t>(draw.below(400'001)) - 200'000;
        return drawn;
    };
    cove::sim::host_options serving = draw_clock();
    serving.may_crash = true;
    if (all.has_few_descriptors) serving.descriptors_max = static_cast<int>(draw.between(8, 12));
    const auto serve = [&all] {
        ++all.rooms;
        return serve_always(all);
    };
    all.world = &in;
    all.server = &in.host("server", serve, serving);
    const auto jump = [&](cove::sim::host& on) {
        in.after(draw.between(0s, 10s), [&on, by = draw.between(1ms, 30s)] { on.jump_clock(by); });
    };
    if (all.kind == profile::harmless && draw.chance(0.2)) {
        all.jumped = 30s;
        jump(*all.server);
    }
    std::size_t left = all.clients;
    for (int i = 0; left > 0; ++i) {
        const std::size_t here =
            std::min<std::size_t>(left, draw.between(1, all.clients > 8 ? 1 + all.clients / 4 : 2));
        left -= here;
        const std::string name = "client" + std::to_string(i);
        const auto body = [&all, name, here] { return take_part_all(all, name, here); };
        auto& host = in.client(name, body, draw_clock());
        if (all.kind == profile::harmless && draw.chance(0.1)) jump(host);
        if (draw.chance(0.2)) {
            in.set_bandwidth(*all.server, host, 1e6 * static_cast<double>(draw.between(1, 10)));
            in.set_bandwidth(host, *all.server, 1e6 * static_cast<double>(draw.between(1, 10)));
        }
    }
}

}  // namespace

void scenarios::chat(const cove::sim::plan& which) {
    cove::sim::generator draw(which.seed ^ 0x63'68'61'74);
    party all(which, draw);
    cove::sim::world world(which, all.options());
    add_hosts(all, world);
    if (!all.is_strict()) world.allow_errors();
    world.run();
    all.model.check();
    for (const connection& each : all.model.connections) all.check_end(each);
}
