package seed

import "fmt"

// worlds are the worlds of all languages.
type worlds map[Language]*world

func everywhere() worlds {
	return worlds{Hebrew: hebrewWorld(), Russian: russianWorld(), English: englishWorld()}
}

func hebrewWorld() *world {
	south, centre, north := "08-6xxxxxx|08-9xxxxxx", "03-5xxxxxx|03-6xxxxxx|03-9xxxxxx", "04-6xxxxxx|04-8xxxxxx|04-9xxxxxx"
	jerusalem, sharon := "02-5xxxxxx|02-6xxxxxx", "09-7xxxxxx|09-8xxxxxx"
	return &world{
		language:  Hebrew,
		men:       list("משה:moshe|דוד:david|יוסף:yosef|אברהם:avraham|יעקב:yaakov|יצחק:yitzhak|שמואל:shmuel|דניאל:daniel|איתי:itay|נועם:noam|אורי:uri|יונתן:yonatan|עומר:omer|אריאל:ariel|גיא:guy|רועי:roi|אלון:alon|עמית:amit|ניר:nir|אייל:eyal|שלמה:shlomo|מאיר:meir|חיים:haim|אליהו:eliyahu|בנימין:binyamin|גדעון:gideon|איתן:eitan|עידו:ido|תומר:tomer|ליאור:lior|אסף:asaf|רונן:ronen|צבי:zvi|מרדכי:mordechai|נתן:natan|עוז:oz|שי:shai|יובל:yuval|דורון:doron|אבי:avi"),
		women:     list("דנה:dana|נועה:noa|שרה:sara|רחל:rachel|לאה:lea|מיכל:michal|תמר:tamar|יעל:yael|שירה:shira|אסתר:ester|רבקה:rivka|חנה:hana|מאיה:maya|עדי:adi|הילה:hila|ענת:anat|אורלי:orly|גלית:galit|רונית:ronit|סיגל:sigal|אביגיל:avigail|טליה:talia|איילת:ayelet|קרן:keren|מירב:merav|ליאת:liat|אפרת:efrat|נעמה:naama|הדס:hadas|שני:shani|מרים:miriam|דבורה:dvora|יהודית:yehudit|אורית:orit|רותי:ruti|ציפי:tzipi|דפנה:dafna|נטע:neta|עינת:einat|גילה:gila"),
		families:  list("כהן:cohen|לוי:levi|מזרחי:mizrahi|פרץ:peretz|ביטון:biton|דהן:dahan|אברהם:avraham|פרידמן:friedman|מלכה:malka|אזולאי:azulay|כץ:katz|יוסף:yosef|דוד:david|עמר:amar|אוחיון:ohayon|חדד:hadad|גבאי:gabay|בן דוד:bendavid|אדרי:edri|לוין:levin|טל:tal|קליין:klein|חן:chen|שפירא:shapira|חזן:hazan|משה:moshe|אשכנזי:ashkenazi|אוחנה:ohana|סגל:segal|גולן:golan|יצחק:yitzhak|בר:bar|מור:mor|שרון:sharon|רוזנברג:rosenberg|וקנין:vaknin|אביב:aviv|נחום:nahum|פלד:peled|ברק:barak|גרינברג:greenberg|שלום:shalom|הלוי:halevi|סויסה:swissa|צור:tzur|רוזן:rosen|אלבז:elbaz|נוי:noy|כרמי:karmi|בן שמעון:benshimon"),
		words:     list("אור:or|גל:gal|כרמל:carmel|הגליל:galil|השרון:sharon|אלון:alon|רימון:rimon|תבור:tavor|ארז:erez|דקל:dekel|שחר:shahar|נחל:nahal|חרמון:hermon|ים:yam|כוכב:kochav|הנגב:negev|זית:zait|אשל:eshel|מגדל:migdal|ספיר:sapir"),
		firms:     list(`* מערכות בע"מ|# ובניו בע"מ|* שיווק והפצה|מאפיית *|מוסך *|# עורכי דין|* ביטוח|* נדל"ן בע"מ|מרפאת *|* הנדסה|# את # רואי חשבון|חשמל *|* תקשורת בע"מ|פרחי *|* טכנולוגיות|מטבחי *|גן ילדים *|* הובלות`),
		cities:    list("תל אביב|ירושלים|חיפה|באר שבע|ראשון לציון|פתח תקווה|אשדוד|נתניה|חולון|בני ברק|רמת גן|אשקלון|רחובות|הרצליה|כפר סבא|עפולה|נהריה|טבריה|בית שמש|רעננה"),
		streets:   list("הרצל|ז'בוטינסקי|בן גוריון|ויצמן|רוטשילד|הנשיא|סוקולוב|ביאליק|אלנבי|דיזנגוף|בגין|הגפן|האלון|הזית|העצמאות|ירושלים|המייסדים|שד' ההסתדרות"),
		street:    "%s %d, דירה %d",
		mobiles:   mobilesOfIsrael(),
		landlines: []string{centre, jerusalem, north, south, centre, centre, south, sharon, centre, centre, centre, south, south, sharon, sharon, north, north, north, jerusalem, sharon},
		notes:     list("לקוחה ותיקה|מעדיפים וואטסאפ|להתקשר רק אחרי 16:00|מתעניינים בחידוש החוזה|ביקש הצעת מחיר|שילם מראש לשנה|הגיעו דרך המלצה|צריך חשבונית על שם החברה|לא להתקשר בשבת|לבדוק את הכתובת לפני המשלוח|מבקש לדבר עם מנהל|הופנה ממשרד ירושלים\nלחזור אליו בתחילת החודש"),
	}
}

// mobilesOfIsrael are written as people write them: each beginning in one of four ways.
func mobilesOfIsrael() []string {
	ways := []string{"0%s-%dxxxxxx", "0%s%dxxxxxx", "+972-%s-%dxx-xxxx", "0%s %dxx xxxx"}
	var forms []string
	for _, net := range []string{"50", "52", "53", "54"} {
		for digit := 2; digit <= 9; digit++ {
			forms = append(forms, fmt.Sprintf(ways[len(forms)%len(ways)], net, digit))
		}
	}
	return forms
}

func russianWorld() *world {
	return &world{
		language: Russian,
		men:      list("Александр:alexander|Сергей:sergey|Дмитрий:dmitry|Андрей:andrey|Алексей:alexey|Иван:ivan|Михаил:mikhail|Николай:nikolay|Владимир:vladimir|Евгений:evgeny|Павел:pavel|Роман:roman|Игорь:igor|Олег:oleg|Виктор:viktor|Юрий:yury|Антон:anton|Максим:maxim|Денис:denis|Борис:boris|Пётр:petr|Фёдор:fedor|Семён:semen|Григорий:grigory|Леонид:leonid|Илья:ilya|Артём:artem|Кирилл:kirill|Константин:konstantin|Вадим:vadim"),
		women:    list("Анна:anna|Елена:elena|Ольга:olga|Наталья:natalia|Ирина:irina|Татьяна:tatiana|Мария:maria|Светлана:svetlana|Екатерина:ekaterina|Людмила:ludmila|Юлия:yulia|Марина:marina|Галина:galina|Вера:vera|Дарья:daria|Алёна:alena|Ксения:ksenia|Полина:polina|Надежда:nadezhda|Валентина:valentina|Оксана:oksana|Жанна:zhanna|Софья:sofya|Алла:alla|Лариса:larisa|Инна:inna|Яна:yana|Евгения:evgenia|Виктория:viktoria|Любовь:lubov"),
		families: list("Иванов:ivanov|Смирнов:smirnov|Кузнецов:kuznetsov|Попов:popov|Васильев:vasiliev|Петров:petrov|Соколов:sokolov|Михайлов:mikhailov|Новиков:novikov|Фёдоров:fedorov|Морозов:morozov|Волков:volkov|Алексеев:alekseev|Лебедев:lebedev|Семёнов:semenov|Егоров:egorov|Павлов:pavlov|Козлов:kozlov|Степанов:stepanov|Николаев:nikolaev|Орлов:orlov|Андреев:andreev|Макаров:makarov|Никитин:nikitin|Захаров:zakharov|Зайцев:zaytsev|Соловьёв:soloviev|Борисов:borisov|Яковлев:yakovlev|Григорьев:grigoriev|Романов:romanov|Воробьёв:vorobiev|Сергеев:sergeev|Кузьмин:kuzmin|Щукин:schukin|Ильин:ilyin|Гусев:gusev|Титов:titov|Цветков:tsvetkov|Журавлёв:zhuravlev"),
		words:    list("Ромашка:romashka|Восток:vostok|Север:sever|Вектор:vektor|Прогресс:progress|Маяк:mayak|Парус:parus|Атлант:atlant|Берёзка:berezka|Заря:zarya|Радуга:raduga|Кристалл:kristall|Меридиан:meridian|Глобус:globus|Сфера:sfera|Уют:uyut|Магнит:magnit|Родник:rodnik|Феникс:feniks|Юпитер:yupiter"),
		firms:    list(`ООО «*»|АО «*»|ИП #|Торговый дом «*»|Студия «*»|Клиника «*»|Пекарня «*»|Автосервис «*»|Бюро переводов «*»|# и партнёры|Юридическое бюро «*»|Завод «*»|Магазин «*»`),
		cities:   list("Москва|Санкт-Петербург|Казань|Новосибирск|Екатеринбург|Самара"),
		streets:  list("ул. Ленина|ул. Мира|Невский пр.|ул. Садовая|ул. Гагарина|пр. Победы|ул. Пушкина|ул. Лесная|Московское ш.|ул. Советская|ул. Чехова|наб. Реки"),
		street:   "%s, д. %d, кв. %d",
		mobiles: list("+7 903 xxx-xx-xx|+7 905 xxx-xx-xx|+7 906 xxx-xx-xx|+7 (909) xxx-xx-xx|+7 (910) xxx-xx-xx|+7 (915) xxx-xx-xx|+7916xxxxxxx|+7917xxxxxxx|+7921xxxxxxx|" +
			"+7-925-xxx-xx-xx|+7-926-xxx-xx-xx|+7 962 xxx xx xx|+7 963 xxx xx xx|+7 965 xxx xx xx"),
		landlines: []string{"+7 495 xxx-xx-xx|+7 499 xxx-xx-xx", "+7 812 3xx-xx-xx|+7 812 5xx-xx-xx", "+7 843 2xx-xx-xx|+7 843 5xx-xx-xx", "+7 383 2xx-xx-xx|+7 383 3xx-xx-xx", "+7 343 2xx-xx-xx|+7 343 3xx-xx-xx", "+7 846 2xx-xx-xx|+7 846 3xx-xx-xx"},
		notes:     list("Постоянный клиент|Звонить после 15:00|Просил коммерческое предложение|Оплата по счёту в начале месяца|Предпочитает переписку|Нужен договор на русском|Пришёл по рекомендации|Не звонить в субботу|Уточнить адрес доставки|Просил связаться с руководителем\nперезвонить в понедельник"),
	}
}

func englishWorld() *world {
	var mobiles []string
	for _, area := range list(areasOfAmerica) {
		mobiles = append(mobiles, "+1 "+area+"-555-xxxx")
	}
	return &world{
		language:  English,
		men:       list("James|John|Robert|Michael|William|David|Richard|Thomas|Charles|Daniel|Matthew|Anthony|Mark|Steven|Paul|Andrew|Joshua|Kenneth|Kevin|Brian|George|Timothy|Ronald|Edward|Jason|Jeffrey|Ryan|Jacob|Gary|Nicholas"),
		women:     list("Mary|Patricia|Jennifer|Linda|Elizabeth|Barbara|Susan|Jessica|Sarah|Karen|Lisa|Nancy|Margaret|Sandra|Ashley|Emily|Donna|Michelle|Carol|Amanda|Melissa|Deborah|Stephanie|Rebecca|Laura|Helen|Sharon|Cynthia|Amy|Zoë:zoe"),
		families:  list("Smith|Johnson|Williams|Brown|Jones|Miller|Davis|Wilson|Anderson|Taylor|Moore|Jackson|Martin|Lee|Thompson|White|Harris|Clark|Lewis|Robinson|Walker|Young|Allen|King|Wright|Scott|Hill|Green|Adams|Baker|O'Brien:obrien|Cohen|Nuñez:nunez|Müller:muller|Novak"),
		words:     list("Acorn|Beacon|Cedar|Delta|Evergreen|Falcon|Granite|Harbor|Juniper|Keystone|Lantern|Meadow|Northwind|Orchard|Pioneer|Quarry|Redwood|Summit|Tidewater|Willow"),
		firms:     list("* Systems Inc.|# & Sons|* Logistics LLC|* Dental Clinic|* Insurance|# Law Offices|* Bakery|* Auto Repair|* Design Studio|* Consulting|# & # Accountants|* Foods Ltd"),
		cities:    list("London|New York|Boston|Chicago|Austin|Denver|Seattle|Toledo|Portland|Savannah"),
		streets:   list("Main St|Oak Ave|Maple Dr|Park Ave|Cedar Ln|Church Rd|High St|Station Rd|Mill Ln|Washington Blvd|Lake View|Elm St"),
		street:    "%[2]d %[1]s, Apt %[3]d",
		mobiles:   mobiles,
		landlines: []string{"+44 20 7xxx xxxx|+44 20 8xxx xxxx"},
		notes:     list("Long-standing customer|Prefers e-mail|Call after 4 pm|Asked for a quote|Pays by invoice|Referred by a friend|Do not call on weekends|Check the address before shipping|Wants a yearly contract|Asked for the manager\ncall back next week"),
	}
}

// areasOfAmerica are area codes; behind each, exchange 555 belongs to nobody's home.
const areasOfAmerica = "201|202|203|205|206|207|208|209|210|212|213|214|215|216|217|218|219|224|225|228|229|231|234|239|240|248|251|252|253|254|256|260|262|267|269|270|276|281|301|302|303|304|305|307|308|309|310|312|313|314|315|316|317|318|319|320|321|323|325|330|331|334|336|337|339|347|351|352|360|361|386|401|402|404|405|406|407|408|409|410|412|413|414|415|417|419|423|424|425|430|432|434|435|440|443|469|478|479|480|484|501|502|503|504|505|507|508|509|510|512|513|515|516|517|518|520|530|540|541|551|559|561|562|563|567|570|571|573|574|575|580|585|586|601|602|603|605|606|607|608|609|610|612|614|615|616|617|618|619|620|623|626|630|631|636|641|646|650|651|660|661|662|678|682|701|702|703|704|706|707|708|712|713|714|715|716|717|718|719|720|724|727|731|732|734|740|754|757|760|763|765|770|772|773|774|775|781|785|786|801|802|803|804|805|806|808|810|812|813|814|815|816|817|818"
