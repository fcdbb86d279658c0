// An open file with the bytes given in it, and no name.

#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <memory>
#include <string_view>

namespace test {

class file_of {
public:
    explicit file_of(std::string_view bytes) : opened_(std::tmpfile()) {
        REQUIRE(opened_ != nullptr);
        REQUIRE(std::fwrite(bytes.data(), 1, bytes.size(), opened_.get()) == bytes.size());
        REQUIRE(std::fflush(opened_.get()) == 0);
    }
    int fd() const { return ::fileno(opened_.get()); }

private:
    struct closer {
        void operator()(std::FILE* opened) const { std::fclose(opened); }
    };
    std::unique_ptr<std::FILE, closer> opened_;
};

}  // namespace test
