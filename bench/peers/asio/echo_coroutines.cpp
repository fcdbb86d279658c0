// Echo server on Asio with coroutines: echo_coroutines PORT

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <cstdlib>
#include <utility>

using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;

awaitable<void> echo(tcp::socket socket) {
    char buffer[16 * 1024];
    asio::error_code error;
    while (!error) {
        const std::size_t size =
            co_await socket.async_read_some(asio::buffer(buffer), redirect_error(use_awaitable, error));
        if (!error)
            co_await asio::async_write(socket, asio::buffer(buffer, size), redirect_error(use_awaitable, error));
    }
}

awaitable<void> accept(tcp::acceptor acceptor) {
    for (;;) {
        asio::error_code error;
        tcp::socket socket = co_await acceptor.async_accept(redirect_error(use_awaitable, error));
        if (error) continue;
        socket.set_option(tcp::no_delay(true), error);  // fails for a peer that is gone: reading will tell
        asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

int main(int argc, char** argv) {
    asio::io_context context(1);
    const auto port = static_cast<unsigned short>(std::atoi(argv[argc - 1]));
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});  // SO_REUSEADDR, and SOMAXCONN: 4096
    asio::co_spawn(context, accept(std::move(acceptor)), asio::detached);
    context.run();
}
