package transfer

import "strings"

// rejectLine and rejectReason head the first two columns of a reject file, and are left out when it comes back.
const (
	rejectLine   = "karov line"
	rejectReason = "karov reason"
)

// synonyms is what offices, Outlook and Google call the fields, folded. One line a field and language.
func synonyms() map[string]string {
	lists := [...]struct{ field, names string }{
		{Ignore, rejectLine + "|" + rejectReason},

		{Name, "name|full name|fullname|display name|contact|contact name|contact person|customer|customer name|client|client name"},
		{Name, "שם|שם מלא|שם לקוח|שם הלקוח|לקוח|לקוחה|איש קשר|שם איש קשר|איש הקשר|שם תצוגה|שם ושם משפחה|שם ומשפחה|שם פרטי ומשפחה|שם פרטי ושם משפחה|שם משפחה ופרטי|שם משפחה ושם פרטי|שם משפחה ושם|שם התקשרות"},
		{Name, "фио|полное имя|имя и фамилия|фамилия и имя|имя фамилия|фамилия имя|фамилия имя отчество|имя отчество фамилия|контакт|имя контакта|контактное лицо|клиент|имя клиента|фио клиента|клиент фио|покупатель|заказчик|отображаемое имя|краткое имя"},

		{FirstName, "first name|firstname|first|given name|forename|christian name"},
		{FirstName, "שם פרטי|פרטי|שם ראשון"},
		{FirstName, "имя"},
		{MiddleName, "middle name|middlename|middle|additional name|second name|patronymic"},
		{MiddleName, "שם אמצעי|שם נוסף|שם האב"},
		{MiddleName, "отчество|второе имя|дополнительное имя"},
		{LastName, "last name|lastname|last|family name|surname|family"},
		{LastName, "שם משפחה|משפחה|שם המשפחה"},
		{LastName, "фамилия"},

		{Company, "company|company name|organization|organisation|organization name|organisation name|business|business name|employer|firm|account|account name|workplace"},
		{Company, "חברה|שם חברה|שם החברה|החברה|ארגון|שם ארגון|שם הארגון|עסק|שם עסק|שם העסק|מקום עבודה|מעסיק|בית עסק"},
		{Company, "компания|название компании|имя компании|организация|название организации|наименование организации|фирма|название фирмы|предприятие|наименование|место работы|работодатель|юрлицо|юридическое лицо"},

		{Phone, "phone|phones|phone number|phone no|phone numbers|telephone|telephone number|tel|tel no|mobile|mobile phone|mobile number|mobile no|mobile telephone|cell|cell phone|cellphone|cellular|cell number|cellular phone|gsm|whatsapp|whatsapp number"},
		{Phone, "business phone|work phone|work number|work tel|work telephone|office phone|home phone|home tel|home number|home telephone|other phone|primary phone|main phone|company main phone|company phone|car phone|radio phone|callback|landline|phone value|phone mobile|phone work|phone home|phone other|phone main|phone business|contact phone|additional phone|second phone|secondary phone|fax|fax number|business fax|work fax|home fax|other fax|fax no|phone fax"},
		{Phone, "טלפון|טלפונים|מספר טלפון|מס טלפון|מספרי טלפון|מספר הטלפון|טל|טל נייד|טל בבית|טל בית|טל עבודה|טל בעבודה|טל נוסף|נייד|סלולרי|סלולארי|סלולר|פלאפון|פלא|נייד אישי|מספר נייד|מס נייד|טלפון נייד|טלפון סלולרי|טלפון סלולארי|טלפון נייד נוסף|וואטסאפ|ווטסאפ"},
		{Phone, "טלפון בבית|טלפון בית|טלפון הבית|טלפון ביתי|טלפון בעבודה|טלפון עבודה|טלפון במשרד|טלפון משרד|טלפון העסק|טלפון עסק|טלפון החברה|טלפון חברה|טלפון ראשי|טלפון ראשי של החברה|טלפון נוסף|טלפון אחר|טלפון ברכב|טלפון קווי|טלפון ליצירת קשר|טלפון איש קשר|טלפון לקוח|פקס|מספר פקס|מס פקס|פקס בעבודה|פקס עבודה|פקס בבית|פקס בית|פקס אחר|פקסימיליה"},
		{Phone, "телефон|телефоны|номер телефона|номера телефонов|тел|тел номер|мобильный|мобильный телефон|телефон мобильный|моб|моб тел|моб телефон|тел моб|телефон моб|сотовый|сотовый телефон|телефон сотовый|сот|сот тел|тел сот|телефон переносной|переносной телефон|контактный телефон|телефон клиента|контактный номер|вотсап|ватсап"},
		{Phone, "рабочий телефон|телефон рабочий|телефон раб|тел раб|раб тел|раб телефон|домашний телефон|телефон домашний|телефон дом|тел дом|дом тел|дом телефон|другой телефон|телефон другой|основной телефон|телефон основной|основной телефон организации|телефон организации|телефон компании|телефон в машине|радиотелефон|обратный вызов|дополнительный телефон|доп телефон|доп тел|телефон доп|городской телефон|телефон городской|факс|номер факса|рабочий факс|факс рабочий|факс раб|домашний факс|факс дом|другой факс|телефон факс|тел факс"},

		{Email, "email|emails|email address|email addresses|mail|mail address|email value|work email|home email|business email|personal email|other email|primary email|secondary email|additional email|contact email|customer email|email work|email home|email other|electronic mail"},
		{Email, "דואל|דואל נוסף|דואר אלקטרוני|דואר אלקטרוני נוסף|כתובת דואל|כתובת דואר אלקטרוני|כתובת הדואר האלקטרוני|כתובת דואר|כתובת מייל|כתובת אימייל|מייל|אימייל|איימייל|מייל נוסף|אימייל נוסף|דוא|דואל עבודה|דואל בעבודה|דואל בית|מייל עבודה|מייל בעבודה|מייל אישי|דואל אישי|מייל לקוח"},
		{Email, "электронная почта|адрес электронной почты|электронный адрес|эл почта|элпочта|эл адрес|адрес эл почты|почта|почтовый ящик|имейл|емейл|емайл|мейл|майл|мыло|рабочая почта|личная почта|почта рабочая|почта личная|электронная почта адрес|электронный почтовый адрес|доп email|email рабочий|email личный|email клиента|адрес email|другая почта"},

		{City, "city|town|locality|city town|town city|business city|home city|other city|work city|mailing city|billing city|address city|settlement|place"},
		{City, "עיר|ישוב|יישוב|עיר מגורים|עיר ישוב|עיר יישוב|שם ישוב|שם יישוב|שם עיר|מקום מגורים|עיר בבית|עיר בית|עיר עבודה|עיר בעבודה|עיר עסק|עיר אחרת"},
		{City, "город|населенный пункт|нас пункт|город проживания|место жительства|г|город раб адрес|город дом адрес|город другой адрес|город рабочий адрес|город домашний адрес|город населенный пункт"},

		{Address, "address|addresses|street|street address|home address|work address|business address|other address|mailing address|postal address|business street|home street|other street|work street|mailing street|billing street|billing address|address street|address line|house|house number|street number|apartment|zip|zip code|zipcode|postal code|postcode|post code|business postal code|home postal code|other postal code|address postal code|po box|business po box|home po box|other po box|address po box|address extended address"},
		{Address, "address region|address country|state|region|province|county|country|country region|business state|home state|other state|business country|business country region|home country|home country region|other country|other country region|state province"},
		{Address, "כתובת|כתובת מגורים|כתובת מלאה|כתובת בית|כתובת בבית|כתובת עבודה|כתובת בעבודה|כתובת עסק|כתובת העסק|כתובת למשלוח|כתובת למשלוח דואר|כתובת לקוח|רחוב|שם רחוב|רחוב ומספר|רחוב ומספר בית|רחוב בבית|רחוב בית|רחוב עבודה|רחוב בעבודה|רחוב עסק|רחוב אחר|מספר בית|מס בית|דירה|מספר דירה|מס דירה|מיקוד|תא דואר|תד|מיקוד בבית|מיקוד בעבודה|מדינה|ארץ|מחוז|אזור"},
		{Address, "адрес|полный адрес|почтовый адрес|домашний адрес|рабочий адрес|адрес проживания|адрес доставки|юридический адрес|фактический адрес|адрес клиента|улица|улица и дом|улица дом|дом|номер дома|квартира|кв|улица раб адрес|улица дом адрес|улица другой адрес|рабочий адрес улица|домашний адрес улица|индекс|почтовый индекс|индекс раб адрес|индекс дом адрес|индекс другой адрес|почтовый код|почтовый код раб|почтовый код дом|страна|страна регион|страна или регион|страна раб адрес|страна дом адрес|страна или регион раб адрес|страна или регион дом адрес|область|область раб адрес|область дом адрес|край|регион|район"},

		{Note, "note|notes|comment|comments|remark|remarks|description|memo|details|additional info|additional information"},
		{Note, "הערה|הערות|הערות נוספות|הערה נוספת|תיאור|תאור|מידע נוסף|פרטים נוספים|פרטים|הערות לקוח"},
		{Note, "примечание|примечания|заметка|заметки|комментарий|комментарии|описание|дополнительно|дополнительная информация|доп информация|сведения"},

		{Birthday, "birthday|birth date|birthdate|date of birth|dob|born|bday"},
		{Birthday, "תאריך לידה|יום הולדת|יום לידה|תל|ת לידה|תאריך הולדת"},
		{Birthday, "день рождения|дата рождения|др|д р|дата рожд|рождение"},

		{Kind, "kind|type|contact type|contact kind|customer type|client type|record type|person company"},
		{Kind, "סוג|סוג לקוח|סוג איש קשר|סוג הלקוח|פרטי חברה|אדם חברה"},
		{Kind, "тип|вид|тип клиента|тип контакта|вид клиента|физлицо юрлицо|физ юр лицо"},

		{Owner, "owner|owner email|account owner|contact owner|assigned to|assigned user|account manager|responsible|responsible user|sales rep|salesperson|agent|agent email|manager email"},
		{Owner, "אחראי|אחראית|מטפל|מטפלת|נציג|נציגה|סוכן|סוכן מטפל|איש מכירות|מנהל לקוח|מנהל תיק|מייל אחראי|שייך ל|משויך ל|בטיפול"},
		{Owner, "ответственный|ответственная|ответственный менеджер|менеджер|менеджер клиента|владелец|владелец контакта|куратор|агент|почта менеджера|email менеджера|email ответственного|продавец"},

		{ExternalID, "id|external id|externalid|customer id|client id|contact id|record id|account id|customer number|client number|customer no|client no|customer code|client code|contact number|code|uid|uuid|guid"},
		{ExternalID, "מזהה|מזהה לקוח|מזהה חיצוני|קוד|קוד לקוח|מספר לקוח|מס לקוח|מספר הלקוח|מספר כרטיס|מס כרטיס|מפתח לקוח|מספר חיצוני"},
		{ExternalID, "код|код клиента|номер клиента|ид|ид клиента|идентификатор|идентификатор клиента|внешний код|внешний идентификатор|внешний ид|id клиента|код контрагента|внешний id|номер карты"},
	}
	out := make(map[string]string, 700)
	for _, l := range lists {
		for _, name := range strings.Split(l.names, "|") {
			if k := fold(name); out[k] == "" {
				out[k] = l.field
			}
		}
	}
	return out
}
