"""The words of the stories, in tables. In each table no entry begins another one, so a reader always knows which of them it was."""

# Names: start, middle, end. She-names end in "a" and he-names in a consonant, so a name tells its pronoun.
NAME_STARTS = tuple(consonant + vowel for consonant in "BFGKLMNRSTVZ" for vowel in "aeio")
NAME_MIDDLES = tuple(consonant + vowel for consonant in "bdlmnrsvz" for vowel in "aeo")
NAME_ENDS = {"she": ("la", "na", "ra", "da", "ma", "sa", "va", "lia", "nia"),
             "he": tuple(letter + rest for letter in "bdlmnrsv" for rest in ("ek", "ik", "il", "im", "em", "ok"))}

# Refrains: a shout, and words of syllables that mean nothing; the sounds are chosen so that none means something rude.
SHOUTS = ("Oh", "Hey", "Ho", "Come", "La")
SYLLABLES = tuple(consonant + vowel for consonant in "bdflmnrstvz" for vowel in "aeiou" if consonant + vowel != "zi")

KINDS = tuple("""
    fox owl bear mouse rabbit frog duck cat goat hedgehog otter elephant badger beaver squirrel pony donkey lamb kitten puppy piglet
    swan sparrow robin raven pigeon parrot turtle lizard snail beetle cricket ladybird bee moth spider seal whale dolphin penguin camel
    zebra giraffe monkey tiger lion wolf deer moose yak llama panda koala baker sailor farmer painter shepherd gardener tailor miller
    potter weaver fisherman cook doctor teacher pilot clown juggler wizard knight king giant dwarf elf gnome pirate hunter carpenter
    cobbler postman watchmaker beekeeper goldsmith writer poet singer drummer dancer captain plumber mason thatcher ferryman innkeeper
    librarian chemist astronomer gnat nurse musician acrobat magician inventor explorer archer scribe herald jester drover""".split())
BEASTS = tuple("""
    ant bat cow calf dog donkey hen rooster horse pig sheep turkey goldfish hamster kangaroo leopard lobster mole octopus ostrich
    panther peacock pelican rhino salmon shark snake stork toad trout vulture walrus wasp woodpecker worm gorilla hippo buffalo flamingo
    crab cheetah chicken dragonfly earthworm falcon gull heron iguana jaguar lark lemur lynx newt osprey oyster porcupine puma reindeer
    skunk sloth squid starfish swallow tadpole thrush weevil wren""".split())

TRAITS = tuple("""
    brave kind shy curious clever gentle merry lonely sleepy young eager quiet hungry cheerful patient proud busy old wise silly polite
    careful lazy noisy nervous grumpy friendly honest lucky tired dreamy bold calm cheeky clumsy fearless graceful helpful jolly lively
    modest nimble plump skinny stubborn thoughtful tidy witty playful restless loyal daring bashful stern solemn drowsy frugal generous
    humble keen nosy obedient pensive placid prudent rowdy sincere sensible tender vain""".split())

# Where: "near the windy hill".
PREPOSITIONS = ("near", "by", "behind", "beside", "beyond", "below", "above", "across", "opposite", "inside")
AIRS = tuple("""
    windy dark deep green high foggy frozen sunny silent narrow wide crooked sandy stony mossy snowy rainy misty distant ancient bright
    hidden steep flat wild empty famous peaceful shady rocky icy sunlit bustling sleepy rugged""".split())
LANDS = tuple("""
    hill forest valley river mill bridge tower mountain village island lake harbour meadow castle cave orchard swamp desert beach canyon
    waterfall lighthouse farm palace market temple garden field pond cliff bay quarry station town city road well ruin monastery
    vineyard glacier volcano creek dune marsh heath moor grove inn school pier tunnel chasm gorge fountain barracks lagoon prairie
    jungle ridge""".split())

TIMES = tuple(f"one {time}" for time in """
    morning evening night afternoon Monday Tuesday Wednesday Thursday Friday Saturday Sunday summer autumn winter spring""".split())
SPOTS = ("under the bed", "behind the door", "in the attic", "on the roof", "in the barn", "behind the clock", "under the stairs",
         "in the tall grass", "between two stones", "under a leaf", "inside a shoe", "on the shelf", "in a nest", "below the window",
         "in the cellar", "at the gate", "in the hay", "on the table", "beside the stove", "in a hollow tree", "under a rock",
         "in the cupboard", "behind the curtain", "in the drawer", "on the doorstep", "in a puddle")

LOOKS = tuple("""
    red blue green yellow orange purple white black pink golden silver grey brown scarlet violet tiny huge round shiny wooden striped
    spotted dusty square smooth heavy light soft rusty crimson turquoise lilac maroon ivory beige bronze copper crystal woollen velvet
    paper leather rubber feathery furry fluffy sticky thin thick hollow""".split())
THINGS = tuple("""
    bell kite boat lamp book ball whistle hat flute cup sled basket ladder mirror candle kettle blanket button ribbon compass map
    umbrella lantern wagon spoon broom pillow bucket key ring scarf mitten boot cloak crown feather shell pebble marble puppet trumpet
    fiddle harp violin banjo saddle anchor telescope hammer needle thimble teapot jug barrel rope vase purse wheel balloon coin stamp
    pencil brush bottle plate knot doll drum chair stool flag medal bead comb fan pipe gong rattle yoyo sponge towel apron bonnet helmet
    shield sword bow arrow quiver tent hammock rug carpet cushion armchair bench desk inkpot quill envelope parcel kennel cart bicycle
    tricycle scooter rocket submarine paddle oar net rod hook""".split())
BOXES = ("box", "chest", "trunk", "cage", "coffer", "safe", "cabinet", "crate", "casket", "locker")
FOODS = tuple("""
    apples pears plums berries nuts carrots cherries buns peaches figs lemons beans peas onions turnips pumpkins radishes tomatoes
    potatoes mushrooms biscuits pancakes muffins pies waffles cakes dates grapes melons chestnuts almonds eggs pretzels dumplings
    apricots olives cucumbers cabbages raisins noodles sausages cookies scones tarts puddings loaves crackers coconuts bananas oranges
    limes walnuts""".split())
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

CALLS = tuple("""
    sang called whispered hummed shouted cried chanted whistled murmured piped crooned yelled roared laughed sighed squeaked bellowed
    breathed warbled announced mumbled hissed grunted trilled yodelled giggled moaned wailed exclaimed recited""".split())
TRICKS = tuple("""
    dance shine sing float spin glow jump hum grow melt roll bounce sparkle sneeze giggle hop fly tremble wink snore whirl wobble
    twirl""".split())
FEELINGS = tuple("""
    happy glad proud cheerful content delighted joyful pleased thankful relieved satisfied amused charmed excited calm cheery elated
    merry""".split())
THIEVES = tuple("wind crow wave goose cloud pirate fog storm magpie rat troll goblin weasel witch ogre jackal".split())
MANNERS = tuple("sly naughty strong dirty hasty greedy nasty rude sneaky wicked gloomy cold stormy wily cunning grim".split())
WEATHERS = tuple("""
    snow rain hail thunder frost mist lightning sunshine drizzle sleet darkness moonlight dew smoke dust blizzard breeze cloudburst gale
    rainbow twilight""".split())
CHORES = tuple("""
    sweeping cooking knitting digging fishing reading baking sewing painting washing planting climbing swimming walking skating sailing
    rowing carving juggling dancing resting counting weaving singing gardening ironing hiking travelling mending polishing""".split())
CHASES = tuple("""
    chased pulled tickled teased followed carried fed hid kissed pushed scared washed watched woke bit nudged hugged found lost drew
    heard greeted thanked""".split())
TREES = tuple("""
    oak birch willow pine maple cedar elm ash beech poplar linden chestnut hazel rowan alder spruce fir cypress walnut acacia mulberry
    magnolia""".split())
FLOWERS = tuple("""
    rose daisy tulip lily poppy violet pansy daffodil iris clover thistle bluebell buttercup marigold snowdrop sunflower primrose orchid
    peony lavender""".split())
ROOMS = tuple("""
    kitchen hall library workshop bakery stable bedroom parlour pantry chapel nursery shed barn cellar dairy smithy lobby""".split())
