// Echo server on Asio with callbacks: echo_callbacks PORT

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

using asio::ip::tcp;

class session : public std::enable_shared_from_this<session> {
public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)) {}

    void read() {
        socket_.async_read_some(asio::buffer(buffer_),
                                [self = shared_from_this()](asio::error_code error, std::size_t size) {
                                    if (!error) self->write(size);
                                });
    }

private:
    void write(std::size_t size) {
        asio::async_write(socket_, asio::buffer(buffer_, size),
                          [self = shared_from_this()](asio::error_code error, std::size_t) {
                              if (!error) self->read();
                          });
    }

    tcp::socket socket_;
    std::array<char, 16 * 1024> buffer_;
};

void accept(tcp::acceptor& acceptor) {
    acceptor.async_accept([&acceptor](asio::error_code error, tcp::socket socket) {
        if (!error) {
            socket.set_option(tcp::no_delay(true), error);  // fails for a peer that is gone: reading will tell
            std::make_shared<session>(std::move(socket))->read();
        }
        accept(acceptor);
    });
}

int main(int argc, char** argv) {
    asio::io_context context(1);
    const auto port = static_cast<unsigned short>(std::atoi(argv[argc - 1]));
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});  // SO_REUSEADDR, and SOMAXCONN: 4096
    accept(acceptor);
    context.run();
}
