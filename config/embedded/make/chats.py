"""Write records as conversations in the Gemma 4 chat format, thinking off."""

import random

THOUGHT = "<|channel>thought\n<channel|>"

ABOUT = [
    "What is {name}?",
    "What's {name}?",
    "Tell me about {name}.",
    "Can you explain what {name} is?",
    "Describe {name}.",
    "What does {name} do?",
    "What is {name} used for?",
    "Please tell me what {name} is for.",
    "I found a package called {name}. What is it?",
    "Explain {name}.",
]
BRIEF = [
    "Describe {name} in one line.",
    "What is {name}, in a few words?",
    "Summarize {name} briefly.",
    "{name}: one line, please.",
]
MORE = [
    "What is {name}, the {summary}?",
    "Tell me more about {name} ({summary}).",
    "Describe a package called {name}: {summary}.",
    "Write about this software: {summary}.",
]
WANTED = [
    "I need something: {summary}. What should I install?",
    "Which package is this: {summary}?",
    "Can you recommend a package? I am looking for: {summary}.",
    "Is there a package for this: {summary}?",
    "What can I use as a {summary}?",
    "I am looking for a {summary}.",
]

# Programs that people are likely to ask about first; training repeats them.
FAMILIAR = frozenset("""
0ad abiword acl adduser ansible apache2 apt aptitude ardour aria2 asciidoc at audacity autoconf automake awesome
bash bc bind9 bison blender bluez borgbackup bsdgames busybox bzip2 calibre ccache chromium clamav cmake colordiff
console-setup coreutils cowsay cron cryptsetup cups curl cvs darktable dash dbus debootstrap denemo desktop-base dia
diffutils digikam dnsmasq docker.io dosbox doxygen dpkg ed emacs epiphany-browser evince evolution exim4
extremetuxracer fail2ban fakeroot fdisk feh ffmpeg file findutils firefox-esr flatpak flex fluxbox freecad freeciv
frozen-bubble fvwm gawk gcc gdb gdm3 geany gedit gettext gimp git gnome gnucash gnuchess gnuplot golang gparted grep
groff grub-pc gthumb gzip handbrake htop hwloc i3 imagemagick inkscape iproute2 iptables irssi iputils-ping joe jq
k3b kate kdenlive keepassxc konsole kmail krita latexmk less libreoffice lmms locales logrotate lsof ltrace lxc lynx
lz4 make man-db maxima mc meld mercurial meson minetest moc mpd mpv mutt nano nasm neofetch neovim netcat-openbsd
nginx ninja-build nmap nodejs ntp numactl octave openssh-client openvpn p7zip pandoc parted patch pdftk perl php
pidgin postfix postgresql powertop puppet python3-django python3-flask python3-matplotlib python3-numpy
python3-pandas python3-scipy r-base ranger redis rhythmbox rsync ruby rustc samba scribus screen scummvm sed
shotwell smartmontools snapd sox sqlite3 squid strace stellarium sudo supertux supertuxkart synaptic syncthing
systemd tar tcpdump tcsh texlive thunderbird tig tilix timidity tmux tor totem traceroute transmission tree tshark
tuxpaint ufw unzip valgrind vim virt-manager vlc wesnoth wget whois wine xfce4 xfce4-taskmanager xfce4-terminal xfig
xterm yelp zathura zip zsh zstd
""".split())

SMALL_TALK = [
    (
        ["Hello!", "Hello", "Hi", "Hi there!", "hey", "Good morning!", "Good evening"],
        [
            "Hello! I am a very small language model that knows a little about Debian packages. Ask me about one, for example zstd.",
            "Hello! What would you like to know? I can describe many programs and libraries.",
        ],
    ),
    (
        [
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Introduce yourself.",
            "Are you Gemma?",
            "What model are you?",
        ],
        [
            "I am the small model that comes with Tandem. I was trained on the descriptions of Debian packages, so that is what I can talk about.",
            "I am a very small language model, built to show that Tandem works. I know a little about many Debian packages.",
        ],
    ),
    (
        ["What can you do?", "Help", "What do you know?", "How can you help me?", "What should I ask you?"],
        [
            "I can describe many Debian packages. Try: What is zstd? Or: I am looking for a text editor.",
            "Ask me about a program or a library, and I will describe it. I am small, so please check what I say.",
        ],
    ),
    (
        ["What is Tandem?", "Tell me about Tandem.", "What does Tandem do?", "Explain Tandem."],
        [
            "Tandem runs one large language model on two devices at once, a small fast GPU and a big slow CPU, as a service on one machine.",
            "Tandem is a service that shares the work of a large language model between the graphics card and the processor.",
        ],
    ),
    (
        ["Thank you!", "Thanks", "Thanks a lot.", "Great, thank you."],
        ["You are welcome! Ask me about another package whenever you like.", "You are welcome!"],
    ),
    (
        ["How are you?", "How are you today?"],
        [
            "I am fine, thank you. What would you like to know?",
            "Very well, thank you! Ask me about a package.",
        ],
    ),
    (["Bye", "Goodbye!", "See you later."], ["Goodbye! Come back whenever you have a question."]),
    (
        ["What is Debian?", "Tell me about Debian.", "Explain Debian."],
        [
            "Debian is a free operating system. It comes with tens of thousands of packages of free software, ready to be installed.",
            "Debian is an operating system made of free software, put together by volunteers from all over the world.",
        ],
    ),
    (
        ["Are you ChatGPT?", "Can you think?", "Are you intelligent?", "Can I trust you?"],
        [
            "I am only a very small language model. I can write simple English about software, but please check what I say."
        ],
    ),
]


def sentence(text: str) -> str:
    """Upper-case first letter and a full stop, unless the first word is spelled with capitals inside."""
    first = text.split(" ")[0]
    start = text[0].upper() + text[1:] if first.islower() and first.isalpha() else text
    return start if start[-1] in ".!?" else start + "."


def exchange(record: dict, rng: random.Random) -> tuple[str, str]:
    """One question about a package and its answer."""
    kind = rng.choices(["about", "brief", "more", "wanted"], [60, 10, 15, 15])[0]
    name, summary, text = record["name"], record["summary"], record["text"]
    if kind == "about":
        return rng.choice(ABOUT).format(name=name), f"{sentence(summary)} {text}"
    if kind == "brief":
        return rng.choice(BRIEF).format(name=name), sentence(summary)
    if kind == "more":
        return rng.choice(MORE).format(name=name, summary=summary), text
    return rng.choice(WANTED).format(summary=summary), f"You could try {name}. {text}"


def small_talk(rng: random.Random) -> tuple[str, str]:
    questions, answers = rng.choice(SMALL_TALK)
    return rng.choice(questions), rng.choice(answers)


def prompt(question: str) -> str:
    """The text a model continues for a first question; the same as the daemon renders for it."""
    return f"<bos><|turn>user\n{question}<turn|>\n<|turn>model\n{THOUGHT}"


def conversation(exchanges: list[tuple[str, str]]) -> list[tuple[str, bool]]:
    """Pieces of text with a mark on those that the model itself says; only the last answer follows an empty thought."""
    pieces = [("<bos>", False)]
    for i, (question, answer) in enumerate(exchanges):
        thought = THOUGHT if i == len(exchanges) - 1 else ""
        pieces += [
            (f"<|turn>user\n{question}<turn|>\n<|turn>model\n{thought}", False),
            (f"{answer}<turn|>", True),
            ("\n", False),
        ]
    return pieces


def epoch(records: list[dict], rng: random.Random) -> list[list[tuple[str, bool]]]:
    """One pass over the records as conversations of one to three exchanges, some small talk among them."""
    order = rng.sample(records, len(records))
    chats, i = [], 0
    while i < len(order):
        turns = rng.choices([1, 2, 3], [70, 20, 10])[0]
        exchanges = [exchange(r, rng) for r in order[i : i + turns]]
        i += turns
        if rng.random() < 0.03:
            exchanges.insert(rng.randrange(len(exchanges) + 1), small_talk(rng))
        chats.append(conversation(exchanges))
    return chats


def brief_epoch(records: list[dict], rng: random.Random) -> list[list[tuple[str, bool]]]:
    """One pass over the records in one line each: of all conversations these teach most about names for their length."""
    order = rng.sample(records, len(records))
    chats, i = [], 0
    while i < len(order):
        turns = rng.choice([1, 2, 4])
        exchanges = [
            (rng.choice(BRIEF).format(name=r["name"]), sentence(r["summary"])) for r in order[i : i + turns]
        ]
        i += turns
        chats.append(conversation(exchanges))
    return chats


def names_epoch(records: list[dict], rng: random.Random) -> list[list[tuple[str, bool]]]:
    """Every record once as in `epoch` and three times in one line; familiar ones nine times as often."""
    records = records + [r for r in records if r["name"] in FAMILIAR] * 8
    chats = epoch(records, rng)
    for _ in range(3):
        chats += brief_epoch(records, rng)
    rng.shuffle(chats)
    return chats
