// The chat room of chat_server: who is in it, and what they are told.
//
// Notices are lines that begin with "* "; what a member writes reaches all others as "nick: text".

#pragma once

#include <cove/net/outbox.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

struct room;

// Someone in the room, from construction to destruction.
struct member {
    room& chat;
    std::string nick;
    cove::outbox outbox;
    explicit member(room& entered);
    ~member();
};

struct room {
    std::vector<member*> members;
    unsigned guests = 0;

    void tell_all_but(const member* speaker, std::initializer_list<std::string_view> parts) const {
        const cove::message text(parts);
        for (member* each : members)
            if (each != speaker) each->outbox.try_push(text);
    }
    bool has(std::string_view nick) const {
        return std::any_of(members.begin(), members.end(), [&](const member* each) { return each->nick == nick; });
    }
};

inline member::member(room& entered) : chat(entered) {
    do nick = "guest" + std::to_string(++chat.guests);
    while (chat.has(nick));
    outbox.try_push(cove::message({"* welcome, ", nick, ": /nick NAME, /who, /quit\n"}));
    chat.tell_all_but(nullptr, {"* ", nick, " joined\n"});
    chat.members.push_back(this);
}

inline member::~member() {
    std::erase(chat.members, this);
    chat.tell_all_but(nullptr, {"* ", nick, " left\n"});
}

// Does what a line asks for, and returns what its sender is told.
inline std::string answer(room& chat, member& me, std::string_view line) {
    constexpr std::string_view nick_letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const auto is_binary = [](unsigned char c) { return (c < ' ' && c != '\t') || c == 127 || c > 0xf7; };
    if (std::any_of(line.begin(), line.end(), is_binary)) return "* text only, please\n";
    if (!line.starts_with('/')) {
        if (!line.empty()) chat.tell_all_but(&me, {me.nick, ": ", line, "\n"});
        return "";
    }
    if (line == "/who") {
        std::string names = "* here:";
        for (const member* each : chat.members) names += ' ' + each->nick;
        return names + '\n';
    }
    if (!line.starts_with("/nick ")) return "* the commands are /nick NAME, /who and /quit\n";
    const std::string nick(line.substr(6));
    if (nick.empty() || nick.size() > 24 || nick.find_first_not_of(nick_letters) != nick.npos)
        return "* a nick has 1 to 24 letters, digits, - and _\n";
    if (chat.has(nick)) return "* " + nick + " is taken\n";
    chat.tell_all_but(nullptr, {"* ", me.nick, " is now ", nick, "\n"});
    me.nick = nick;
    return "";
}
