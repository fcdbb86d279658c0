// Code that dangles, a case each: lifetimes.sh expects Clang to refuse, or to warn of, all but case 0.

#include <cove/net/line_reader.hpp>
#include <cove/net/tcp.hpp>
#include <cove/runtime/broadcast.hpp>
#include <cove/runtime/channel.hpp>
#include <cove/runtime/condition.hpp>
#include <cove/runtime/remote_channel.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/watch.hpp>

#include <span>
#include <string>

cove::task<> snippet([[maybe_unused]] cove::tcp_stream& peer) {
#if CASE == 0
    cove::channel<std::string> queue(1);
    co_await queue.send(std::string("a temporary lives until the await is over"));
    co_await peer.write(std::string("so it does here"));
#elif CASE == 1
    cove::channel<std::string> queue(1);
    auto send = queue.send(std::string("gone at the end of this line"));
    co_await send;
#elif CASE == 2
    cove::remote_channel<std::string> queue(1);
    auto send = queue.send(std::string("gone at the end of this line"));
    co_await send;
#elif CASE == 3
    cove::line_reader<cove::tcp_stream> lines{cove::tcp_stream(cove::descriptor())};
    co_await lines.read_line();
#elif CASE == 4
    cove::broadcast<int>::subscription mine{cove::broadcast<int>(1)};
    co_await mine.receive();
#elif CASE == 5
    cove::watch<int>::observer mine{cove::watch<int>(1)};
    co_await mine.changed();
#elif CASE == 6
    cove::condition changed;
    auto wait = changed.wait(cove::mutex::guard());
    co_await wait;
#elif CASE == 7
    cove::yield();  // never awaited
#endif
    co_return;
}
