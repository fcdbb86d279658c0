// The echo server of examples/, unchanged, and clients that know every byte they must get back.

#define main echo_server_main
#include "../../examples/echo_server.cpp"
#undef main

#include "scenarios.hpp"
#include "weather.hpp"

#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

namespace scenarios {
namespace {

using cove::sim::generator;
using namespace std::chrono_literals;

// Of a client's stream: no two stretches of it are alike, so that a byte which is lost, doubled or moved is seen.
char byte_at(std::uint64_t client, std::uint64_t position) {
    std::uint64_t mixed = (client << 40 ^ position) * 0x9e37'79b9'7f4a'7c15;
    mixed ^= mixed >> 29;
    return static_cast<char>(mixed >> 11);
}

struct client {
    std::uint64_t number = 0;
    std::uint64_t bytes = 0;
    generator choices{0};
    bool may_fail = false;
    bool may_wait_in_vain = false;
    std::uint64_t echoed = 0;
    bool lost = false;
};

// Not a moment less than asked for.
cove::task<> pause(client& me) {
    const cove::duration length = me.choices.between(1us, 1s);
    const cove::time_point start = cove::now();
    co_await cove::sleep_for(length);
    if (cove::now() - start < length) throw std::logic_error("echo: a sleep was too short");
}

cove::task<> send_all(client& me, cove::tcp_stream& server) {
    std::vector<char> piece;
    for (std::uint64_t sent = 0; sent < me.bytes;) {
        const std::uint64_t bits = me.bytes > 2'000'000 ? 22 : me.choices.below(17);
        piece.resize(std::min(me.bytes - sent, me.choices.between(1, std::uint64_t{1} << bits)));
        for (char& each : piece) each = byte_at(me.number, sent++);
        const std::string_view view(piece.data(), piece.size());
        if (me.choices.chance(0.2)) {
            const std::string_view parts[] = {view.substr(0, view.size() / 3), "", view.substr(view.size() / 3)};
            co_await server.write(parts);
        } else {
            co_await server.write(view);
        }
        if (me.choices.chance(0.1)) co_await pause(me);
    }
    server.shutdown_write();
}

void check(client& me, std::string_view received) {
    for (const char each : received)
        if (me.echoed == me.bytes || each != byte_at(me.number, me.echoed++))
            throw std::logic_error("echo: client " + std::to_string(me.number) + " got a wrong byte at " +
                                   std::to_string(me.echoed) + " of " + std::to_string(me.bytes));
}

cove::task<> check_all(client& me, cove::tcp_stream& server) {
    std::vector<char> room;
    for (;;) {
        std::size_t count = 0;
        if (me.choices.chance(0.5)) {
            room.resize(me.choices.between(1, std::uint64_t{1} << me.choices.below(16)));
            count = co_await server.read(room);
            check(me, {room.data(), count});
        } else {
            const cove::buffer received = co_await server.receive();
            count = received.size();
            check(me, received.view());
        }
        if (count == 0) break;
        if (me.choices.chance(0.05)) co_await pause(me);
    }
    if (me.echoed != me.bytes)
        throw std::logic_error("echo: client " + std::to_string(me.number) + " got " + std::to_string(me.echoed) +
                               " bytes back of " + std::to_string(me.bytes));
}

// Where nobody listens a connect must say so.
cove::task<> knock_at_closed_port(client& me, std::string where) {
    const auto connected = co_await cove::as_result(cove::tcp_stream::connect(where));
    if (connected || (!me.may_fail && connected.error() != std::errc::connection_refused))
        throw std::logic_error("echo: a closed port answered: " + connected.error().message());
}

cove::task<> converse(client& me, std::string where, std::string closed_port) {
    if (me.choices.chance(0.1)) co_await knock_at_closed_port(me, closed_port);
    auto server = co_await cove::tcp_stream::connect(where);
    cove::task_group both;
    both.spawn(send_all(me, server));
    both.spawn(check_all(me, server));
    co_await both.join();
}

// What a real client would do about a server that may be gone for good.
cove::task<> talk(client& me, std::string where, std::string closed_port) {
    bool ended_early = false;
    try {
        co_await cove::timeout(2h, converse(me, where, closed_port));
    } catch (const std::system_error& error) {
        const bool waited_in_vain = error.code() == cove::errc::timed_out;
        if (!me.may_fail || (waited_in_vain && !me.may_wait_in_vain))
            throw std::logic_error("echo: client " + std::to_string(me.number) + ": " + error.what());
        me.lost = true;
    } catch (const std::bad_alloc&) {
        if (!me.may_fail) throw;
        me.lost = true;
    } catch (const std::logic_error&) {
        // The stream has ended before its time: so it does where the server ends a session by closing it.
        if (!me.may_fail || me.echoed == me.bytes) throw;
        ended_early = true;
    }
    me.lost = me.lost || ended_early;
}

// A server that could begin goes on, whatever befalls it.
cove::task<> serve_on() {
    auto serving = cove::serve(cove::tcp_listener::bind(":8080"), ::echo);
    try {
        co_await serving;
    } catch (const std::exception& error) {
        throw std::logic_error(std::string("echo: the server gave up: ") + error.what());
    }
}

}  // namespace

void echo(const cove::sim::plan& which) {
    const weather outside = draw_weather(which);
    const bool fails_calls = which.failing.nth > 0 || which.calls != nullptr;
    const cove::sim::world_options options = draw_options(which, outside);
    cove::sim::world world(which, options);
    generator& choices = world.choices();
    if (outside == weather::hostile) world.allow_errors();

    cove::sim::host_options on_server;
    on_server.may_crash = outside == weather::hostile;
    on_server.clock_offset = choices.between(0s, 10h);
    on_server.clock_drift_ppb = static_cast<std::int64_t>(choices.below(100'000));
    if (outside == weather::hostile && choices.chance(0.3)) on_server.descriptors_max = 8;
    auto& server = world.host("server", serve_on, on_server);

    // What goes through the windows of a slow network in a reasonable time.
    const std::uint64_t bytes_max = 100 * std::min(options.send_buffer, options.receive_buffer);
    std::vector<client> clients(fails_calls ? 2 : choices.between(1, std::uint64_t{1} << choices.below(5)));
    for (client& each : clients) {
        each.number = static_cast<std::uint64_t>(&each - clients.data());
        const std::uint64_t bits = fails_calls ? 8 : choices.chance(0.003) ? 22 : choices.below(18);
        each.bytes = std::min(choices.below(std::uint64_t{2} << bits), bytes_max);
        each.choices = generator(choices.next());
        each.may_wait_in_vain = outside == weather::hostile;
        each.may_fail = outside == weather::hostile || fails_calls;
        const auto begin = [&each, &server] { return talk(each, server.address(8080), server.address(9)); };
        world.client("client" + std::to_string(each.number), begin);
    }
    world.run();
    for (const client& each : clients)
        if (!each.may_fail && each.echoed != each.bytes)
            throw std::logic_error("echo: client " + std::to_string(each.number) + " is not done");
}

}  // namespace scenarios
